"""The policy's routers: which kinds there are, the sections of those without a folder of their own, and their parts.

In come the keys below `router`; out goes the section of one kind, ours or a plug-in's (`kinds`). Slots and requests
that no customer makes are the same for every kind that has them.
"""

"""The command `canary`: what a person types. It knows every room, and nobody imports it.

In come arguments and a policy file; out go lines on a terminal, files, and requests to the receiver's API.
"""

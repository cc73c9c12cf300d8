"""The room of Alertmanager: its configuration, and what it calls.

In comes a policy; out go the file by which alerts find their way (`config`), and the service that acts on those that
ask for it (`receiver`). The two know nothing of each other: whoever keeps an Alertmanager of their own needs only the
second.
"""

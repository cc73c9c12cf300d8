"""The stack: every part of the demo as a process on free ports of 127.0.0.1, ended with the demo whatever happens.

In come `Settings`; out goes a running `Stack` (`stack`) with what a story needs: commands, faults, journal, router.
"""

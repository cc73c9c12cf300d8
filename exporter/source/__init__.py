"""The shop's order database, read and never written.

In come the policy's `database` section and a server of any kind (`dialects`); out go sessions with time limits
(`database`, `session`), the streams of each event (`streams`, `mapping`), whole stretches of the past (`history`), and
what is odd about the place: its zone, its schema's changes, a replica's lag.
"""

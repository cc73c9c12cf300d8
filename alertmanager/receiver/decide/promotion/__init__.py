"""Raising traffic: the promoter, and what it asks before each step (the phase's time, its gate, what it waits for).

In come the rollout and what Alertmanager and Prometheus say of it; out goes the command to advance, or the one reason
why the rollout does not go on.
"""

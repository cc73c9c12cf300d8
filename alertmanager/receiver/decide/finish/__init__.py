"""Finishing a release: what the shop's servers run, the commands of people about it, and the steps back to stable.

In come the servers' answers and the rollout; out go commands that move traffic to servers which run the new version.
"""

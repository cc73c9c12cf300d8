"""The commands that study the order database without a rollout: power analysis, past rollouts, history.

In come a policy and a stretch of time; out go tables, JSON and files. Nothing is changed and no traffic is moved.
"""

"""A policy that is in use: what of it decides, what has changed in it, and how a running rollout keeps its own.

In comes a loaded `Policy`; out go its digest, the plain data that the journal keeps of it, the policy that such data
stand for, and the differences between two of them.
"""

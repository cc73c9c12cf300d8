"""How evidence goes on in time: buckets and segments of a rollout, where evidence restarts, the path that it took.

A rollout's weights and a plan come in; every test stands on the timeline that goes out, and grows a trajectory on it.
"""

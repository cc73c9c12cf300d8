"""What is decided: by alerts, by the receiver's own look at Prometheus, by people, by time.

In come alerts, answers and requests; out go commands to the store of rollouts, each with what its author saw. Nothing
here touches a router or a process.
"""

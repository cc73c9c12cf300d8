"""What `canary check` asks Prometheus: that it scrapes, has the rules, and asks often enough what is the shop's own.

In comes the policy; out go findings (`prometheus`). `cadence` is how often jobs and rules really run, `shopseries` says
whose the series of the technical signals are.
"""

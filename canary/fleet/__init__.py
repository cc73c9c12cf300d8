"""Several services behind one door: in come files and folders of policies, out goes one process that serves them all.

What serves one policy is made by the caller, a receiver or an exporter with its web shell; here it is decided which of
them run, and their paths, metrics and states are brought together. Each has nothing in common with the next but the
port: see `fleet`.
"""

"""The commands about one rollout: those that change it (`verbs`), and those that look at it or prove its links.

In come arguments; out go requests to the receiver's API, which alone decides, and lines on a terminal.
"""

"""Whether the rows that two versions write into one database fit together alike.

In comes a session; out go the newest rows of each event (`newest`), which of them are such as no shop wants, by version
and kind of fault (`faults`), and while a rollout runs what was found at the last look (`watch`).
"""

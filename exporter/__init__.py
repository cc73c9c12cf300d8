"""From the order database to metrics: rows go in, counters, KPIs and evidence come out.

`service` is what answers scrapes, `loop` what keeps it fresh, `refresher` one round of that; of several services each
has its loop in a process of its own (`worker`). Below lie the folders in the order in which a row passes them:
`source` reads it, `ledger` counts it, `judge` says what it means (the mathematics is `evidence`), `publish` shows it.
`study` looks at the past with the same parts, for the commands. `follow` is a process of its own, which makes
assignments of the router's log.
"""

"""What has been counted: exact sums per event, time bucket and version, and the newest rows as they are.

In come the streams of `exporter.source`. Out go totals that agree with what SQL would count (`ledger`), and the single
rows of the trailing window and the running rollout (`rows`, `held_rows`). `feed` keeps one stream up to date;
`reconciler` compares what was counted with the database again, a little at a time. `lookups` answers from memory what
no statement can look up (`held_table`).
"""

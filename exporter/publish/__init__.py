"""What a scrape reads: one immutable snapshot of the newest refresh, written as Prometheus metrics.

In come the ledgers' totals and what the judge found. Out go counters that never fall (`counters`), also across a
restart (`statefile`), and metrics that are absent when nothing is known (`collector`, `rollout_metrics`,
`experiment_metrics`), all made from one `snapshot`. A scrape asks no database.
"""

"""What a scrape reads: one immutable snapshot of the newest refresh, written as Prometheus metrics.

In come totals and judgements; out go series that never fall (`counters`) or are absent when unknown (`collector`,
`experiments`). A scrape asks no database.
"""

"""Anytime-valid evidence for and against a canary: pure statistics, numpy only, no clock and no database.

In come arrays (`rows`), what is asked of them (`parameters`) and a rollout's weights; out come verdicts with all that
they rest on (`results`). `judge` is what others call. Under it `tracks` says how far each test has come and `verdict`
what follows from it. `comparisons` has one module per test of harm, `progress` cuts time into buckets and segments and
keeps how evidence grew, `exact` draws the router's assignment again; `grid` and `hypergeometric` do the arithmetic.
`docs/evidence/statistics.md` is the mathematics.
"""

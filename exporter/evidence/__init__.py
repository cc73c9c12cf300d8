"""Anytime-valid evidence for and against a canary: pure statistics, numpy only, no clock and no database.

In come arrays (`rows`), what is asked of them (`parameters`) and a rollout's weights; out come verdicts with all that
they rest on (`results`). `judge` is what others call. Under it `tracks` says how far each test has come and `verdict`
what follows from it; there is one module per test: `conversion`, `outcome`, `mean` compare the two sides, `floor` looks
at the canary alone, `mismatch` at the sample ratio; `timeline` cuts time into buckets, segments and strata, `grid` and
`hypergeometric` do the arithmetic, `trajectory` keeps how evidence grew. `docs/evidence-statistics.md` is the
mathematics.
"""

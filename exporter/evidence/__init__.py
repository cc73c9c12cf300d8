"""Anytime-valid evidence for and against a canary: pure statistics, numpy only, no clock and no database.

In come arrays (`rows`) and a rollout's weights; out come verdicts with all that they rest on (`verdict`). `judge` is
what others call. Under it, one module per test: `conversion`, `outcome`, `mean` compare the two sides, `floor` looks at
the canary alone, `mismatch` at the sample ratio; `timeline` cuts time into buckets, segments and strata, `grid` and
`hypergeometric` do the arithmetic, `trajectory` keeps how evidence grew. `docs/evidence-statistics.md` is the
mathematics.
"""

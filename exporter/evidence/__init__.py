"""Anytime-valid evidence for and against a canary: pure statistics, numpy only.

`judge` is the way in; `docs/evidence-statistics.md` is the mathematics behind every module here.
"""

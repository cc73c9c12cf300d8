"""The past looked at as a whole: what a phase can prove, what would have been decided, what counters would have been.

In come a policy and stretches of the order database's past; out go tables, files and plots for `canary plan`,
`canary backtest`, `canary backfill` and the experiments' report. None of it runs in the services.
"""

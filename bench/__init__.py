"""What is claimed of kpi-canary, measured: one benchmark per folder, `python -m bench.NAME`; `make bench` runs all.

In come the product, its peers and real programs; out goes one section of RESULTS.md per benchmark (`results`). `parts`
runs pieces of a benchmark in processes of their own.
"""

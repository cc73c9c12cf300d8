"""The shop: one process (`server`) is one version, on an order database that both versions share.

In come customers' requests and, at `/-/faults`, what is to be wrong with this version; out go pages, rows in the order
database, and metrics.
"""

"""`canary exporter` next to its peers (`peers`) on one PostgreSQL with a shop's past (`shop`): cost and freshness.

The peers live in an environment of their own; `measure` asks all in the same way.
"""

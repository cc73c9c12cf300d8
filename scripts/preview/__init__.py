"""Draws the generated dashboards with a Prometheus' data, to judge layout and readability without a Grafana.

It reads nothing but the dashboards' JSON and what Prometheus answers to their queries, and draws the part of Grafana
that these dashboards use: the grid, six kinds of panels, units, mappings, thresholds, overrides, two transformations
and annotations. It is a development tool and not part of the distribution.
"""

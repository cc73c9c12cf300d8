"""The demo: a small real shop in two versions, its customers, and the whole stack around them on this machine.

In comes a scenario (`main.run`, as `canary demo`); out go a live picture, a timeline of what happened when, and the
exit status 0 when the story went as it should. Nothing is simulated but the customers: `shop` is a web shop with an
order database, `stack` runs HAProxy, Prometheus, Alertmanager, exporter and receiver as a deployment would.
"""

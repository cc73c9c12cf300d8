"""From the policy to Grafana: five dashboards, and the files by which Grafana finds them.

In comes a policy, out go dashboards (`generate`). They are the other half of the mixin, in jsonnet (`dashboards/`, made
of `queries/`, `lib/` and `variables`); `lint` reads what comes out as Grafana's own dashboard-linter would.
"""

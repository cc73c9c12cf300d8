"""From the policy to Prometheus: recording rules, alerts, the tests of both, and the scrape configuration.

In comes a policy; out go files for Prometheus (`generate`) and for those who run it otherwise (`targets`: Kubernetes,
Thanos, Mimir, VictoriaMetrics, Argo Rollouts, Flagger). The rules are a monitoring mixin in jsonnet
(`mixin.libsonnet`), so that they also work without the command. `lint` reads what comes out, and `promtool` writes
its tests.
"""

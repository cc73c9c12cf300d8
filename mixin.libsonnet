// kpi-canary as a monitoring mixin: prometheusAlerts, prometheusRules and grafanaDashboards, made from `_config`.
(import 'rules/mixin.libsonnet') + {
  // The dashboards' own configuration; `canary generate` makes one from a policy.
  _dashboards:: import 'grafana/default.json',
  grafanaDashboards+:: (import 'grafana/main.jsonnet')($._dashboards),
}

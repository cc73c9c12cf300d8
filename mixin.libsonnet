// kpi-canary as a monitoring mixin: prometheusAlerts, prometheusRules and grafanaDashboards, made from `_config`.
(import 'rules/mixin.libsonnet') + {
  // The dashboards' own configuration: what `_config` says, and else what `canary generate` makes of an empty policy.
  // The limits that graphs draw are only here.
  _dashboards:: (import 'grafana/translated.libsonnet')($._config, import 'grafana/default.json'),
  grafanaDashboards+:: (import 'grafana/main.jsonnet')($._dashboards),
}

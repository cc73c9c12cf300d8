// The mixin's rules for one configuration, as the command line evaluates them.
function(config)
  local mixin = (import 'mixin.libsonnet') + { _config:: config };
  { alerts: mixin.prometheusAlerts, rules: mixin.prometheusRules }

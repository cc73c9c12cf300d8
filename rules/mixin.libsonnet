// kpi-canary's rules as a monitoring mixin: `prometheusAlerts` and `prometheusRules`, made from `_config`.
//
// Mixins part them, and put them into files, or even rulers, of their own. An alert that reads what another group has
// recorded is late by up to an interval, so alerts are written out here (`inline`), and need nothing of prometheusRules.
local parts = import 'parts.libsonnet';

(import 'config.libsonnet') + {
  local config = $._config,
  // What is recorded is recorded in one group, where each rule can read the one before it.
  local recorded = parts(config { inline: false }),

  prometheusAlerts+:: { groups+: parts(config).alert_groups() },

  prometheusRules+:: {
    groups+: [
      { name: 'canary-inputs-' + config.service, interval: config.evaluationInterval, rules: recorded.inputs },
      recorded.for_people,
    ],
  },
}

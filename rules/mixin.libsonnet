// kpi-canary's rules as a monitoring mixin: `prometheusAlerts` and `prometheusRules`, made from `_config`.
(import 'config.libsonnet') + {
  local config = $._config,
  local series = (import 'lib/series.libsonnet')(config),
  local build = (import 'lib/alert.libsonnet')(config),

  // One group: its rules are evaluated one after the other, so that every alert sees this moment's inputs, and
  // CanaryPhaseComplete sees what all others say.
  prometheusAlerts+:: {
    groups+: [
      {
        name: 'canary-' + config.service,
        interval: config.evaluationInterval,
        rules: (import 'recording/policy.libsonnet')(config)
               + series.rules
               + (import 'alerts/health.libsonnet')(config, series, build)
               + (import 'alerts/technical.libsonnet')(config, series, build)
               + (import 'alerts/against_stable.libsonnet')(config, series, build)
               + (import 'alerts/kpis.libsonnet')(config, series, build)
               + (import 'alerts/guard.libsonnet')(config, series, build)
               + (import 'alerts/finishing.libsonnet')(config, series, build)
               + (import 'alerts/drift.libsonnet')(config, series, build)
               + (import 'alerts/ranges.libsonnet')(config, series, build)
               + (import 'alerts/experiments.libsonnet')(config, series, build)
               + (import 'alerts/phases.libsonnet')(config, series, build),
      },
    ],
  },

  prometheusRules+:: {
    groups+: [
      {
        name: 'canary-for-people-' + config.service,
        // People look at these over minutes, and a recorded sample costs each time it is made.
        interval: '30s',
        rules: (import 'recording/signals.libsonnet')(config, series) + (import 'recording/kpis.libsonnet')(config, series),
      },
    ],
  },
}

// All rules of one configuration, by what they are for; main.jsonnet and mixin.libsonnet put them into groups.
local n = import 'lib/names.libsonnet';

function(config) {
  local series = (import 'lib/series.libsonnet')(config),
  local build = (import 'lib/alert.libsonnet')(config),

  // Proven harm rolls back: few rules, that read no rates, and so may be looked at as often as the proofs are scraped.
  // They record nothing and are written out: what another group records is up to one of its intervals old.
  local written_out = (import 'lib/series.libsonnet')(config { inline: true }),
  local judged = [kpi.name for kpi in config.kpis if kpi.judge != 'threshold'],
  local fast(rule) = rule.labels[n.ACTION] == 'rollback' && std.member(judged, rule.labels[n.KPI]),
  local kpis(series) = (import 'alerts/kpis.libsonnet')(config, series, build),

  // What alerts read, in an order in which each rule reads only what stands before it.
  inputs:: (import 'recording/policy.libsonnet')(config) + series.rules,

  alerts:: (import 'alerts/health.libsonnet')(config, series, build)
           + (import 'alerts/technical.libsonnet')(config, series, build)
           + (import 'alerts/against_stable.libsonnet')(config, series, build)
           + [rule for rule in kpis(series) if !fast(rule)]
           + (import 'alerts/guard.libsonnet')(config, series, build)
           + (import 'alerts/finishing.libsonnet')(config, series, build)
           + (import 'alerts/drift.libsonnet')(config, series, build)
           + (import 'alerts/ranges.libsonnet')(config, series, build)
           + (import 'alerts/experiments.libsonnet')(config, series, build)
           + (import 'alerts/phases.libsonnet')(config, series, build),

  // Alerts by themselves, or with their inputs before them. One group: its rules are evaluated one after the other, so
  // that every alert sees this moment's inputs, and CanaryPhaseComplete sees what all others say.
  alert_groups(before=[])::
    local urgent = [rule for rule in kpis(written_out) if fast(rule)];
    [{ name: 'canary-' + config.service, interval: config.evaluationInterval, rules: before + $.alerts }] + (
      if urgent == [] then []
      else [{ name: 'canary-fast-' + config.service, interval: config.fastEvaluationInterval, rules: urgent }]
    ),

  for_people:: {
    name: 'canary-for-people-' + config.service,
    // People look at these over minutes, and a recorded sample costs each time it is made.
    interval: '30s',
    rules: (import 'recording/signals.libsonnet')(config, series) + (import 'recording/kpis.libsonnet')(config, series),
  },
}

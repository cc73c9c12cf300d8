// The guard's own health, and the heartbeat that proves the whole chain.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local own(metric, matchers=[]) = p.own(config, metric, matchers);
  local rolling_back = 'max by (rollout) (' + own(n.ROLLOUT_STATE, [p.equals(n.STATE, 'rolling_back')]) + ') == 1';

  build.alert(n.ROLLBACK_NOT_CONVERGED, {
    expr: p.lines([
      p.beyond('max by (rollout) (' + own(n.CONVERGING_SECONDS) + ')', '>', p.limit(config, n.LIMIT_CONVERGE)),
      'and on (rollout)',
      '(' + rolling_back + ')',
    ]),
    severity: 'critical',
    action: 'none',
    dashboard: 'guard',
    summary: 'Rollback of ' + config.service + ' incomplete: routers still send traffic to the canary',
    description: '{{ $value | humanizeDuration }} after the rollback was decided, routers report '
                 + build.value(n.TRAFFIC_RATIO, matchers=[p.equals(n.ROLE, 'canary')]) + ' of traffic on the canary, expected 0% within '
                 + build.limit(n.LIMIT_CONVERGE, 'humanizeDuration') + '. The receiver retries automatically; intervene manually now.',
  })
  + build.alert(n.ROLLED_BACK, {
    expr: p.operand(series.rolled_back) + ' == 1',
    severity: 'warning',
    action: 'none',
    summary: 'Canary {{ $labels.canary }} was rolled back; {{ $labels.stable }} runs',
    description: 'Rollout {{ $labels.rollout }} of ' + config.service + " ended with a rollback: all customers are on {{ $labels.stable }}. `canary history` and the rollout's report say why.",
  })
  + build.alert(n.SUPPRESSED, {
    expr: p.for_rollout(series.running, 'sum by (rollout) (' + own(n.ALERTS_SUPPRESSED) + ')') + ' > 0',
    severity: 'warning',
    action: 'none',
    summary: 'A silence keeps alerts about canary {{ $labels.canary }} from acting',
    description: 'Of the alerts that fire, ' + build.value(n.ALERTS_SUPPRESSED, formats.count, [p.equals(n.ACTION, 'rollback')])
                 + ' would roll back and ' + build.value(n.ALERTS_SUPPRESSED, formats.count, [p.equals(n.ACTION, 'hold')])
                 + ' would hold; a silence that names `action` forbids it. `canary status` says whose it is and when it ends.',
  })
  + build.alert(n.EXPORTER_DOWN, {
    expr: 'absent(' + own(n.DATABASE_UP) + ')',
    hold_for: config.missedScrapes,
    severity: 'critical',
    action: 'none',
    dashboard: 'guard',
    of_rollout: false,
    summary: 'The exporter of ' + config.service + ' is down',
    description: 'Prometheus has no ' + n.DATABASE_UP + ' of ' + config.service + ': the exporter does not run, or is not scraped. No canary can be judged.',
  })
  + build.alert(n.RECEIVER_DOWN, {
    expr: 'absent(' + own(n.ROLLOUT_STATE) + ')',
    hold_for: config.missedScrapes,
    severity: 'critical',
    action: 'none',
    dashboard: 'guard',
    of_rollout: false,
    summary: 'The receiver of ' + config.service + ' is down',
    description: 'Prometheus has no ' + n.ROLLOUT_STATE + ' of ' + config.service + ': the receiver does not run, or is not scraped. No rollback can be executed.',
  })
  + (if config.drillMaxAgeSeconds == '' then [] else build.alert(n.DRILL_OVERDUE, {
       expr: p.lines([
         'min(' + own(n.DRILL_AGE_SECONDS) + ') > ' + config.drillMaxAgeSeconds,
         'or',
         'absent(' + own(n.DRILL_AGE_SECONDS) + ')',
       ]),
       hold_for: config.missedScrapes,
       severity: 'warning',
       action: 'none',
       dashboard: 'guard',
       of_rollout: false,
       summary: 'Last successful rollback drill of ' + config.service + ' is older than ' + build.written(config.drillMaxAgeSeconds, 'humanizeDuration') + ', or there was none',
       description: 'Whether a rollback of ' + config.service + ' would reach the routers has not been proven since. Run `canary drill`; it moves no traffic.',
     }))
  + build.alert(n.DRILL, {
    // Severity and labels as a real one has them, so that what keeps that away keeps this away too; its rollout is none
    // that there is, so that nothing on its way can take it for a real one.
    expr: 'max by (' + std.join(', ', [n.DRILL_LABEL, n.STABLE, n.CANARY, n.VERSION]) + ') (' + own(n.DRILL_REQUESTED) + ') == 1',
    labels: { [n.ROLLOUT]: 'drill-{{$labels.' + n.DRILL_LABEL + '}}' },
    severity: 'critical',
    action: 'rollback',
    dashboard: 'guard',
    of_rollout: false,
    summary: 'Test alert of ' + config.service + ' that follows the rollback path; moves no traffic',
    description: 'Somebody ran `canary drill --through-prometheus`: the receiver takes this alert as it would a real one, and answers whether it could act.',
  })
  + build.alert(n.WATCHDOG, {
    expr: 'vector(1) == 1',
    severity: 'info',
    action: 'none',
    dashboard: 'guard',
    of_rollout: false,
    summary: 'The heartbeat of ' + config.service + "'s guard",
    description: 'Always fires. When it stops reaching the receiver, the chain from Prometheus to the receiver is broken.',
  })

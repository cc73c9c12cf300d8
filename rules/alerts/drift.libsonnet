// What the last releases add up to: each passed by itself, and small losses multiply. Nobody is moved by it, because
// none of them is the culprit; people decide what to win back, and whether to ask for more evidence per release.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local by_kpi(metric) = 'max by (kpi) (' + p.own(config, metric) + ')';
  local of_kpi(metric, filter='humanizePercentage') =
    build.shown('max(' + p.own(config, metric, [n.KPI + '=%q']) + ')', filter, [n.KPI]);

  // The budget's sign says which direction is bad. The estimate must be beyond it, and the band on one side of nothing:
  // an estimate alone is luck as often as not.
  local beyond(comparison, end) = p.lines([
    by_kpi(n.DRIFT_CHANGE),
    comparison + ' on (kpi)',
    '(' + by_kpi(n.DRIFT_BUDGET) + ' ' + comparison + ' 0)',
    'and on (kpi)',
    '(' + by_kpi(end) + ' ' + comparison + ' 0)',
  ]);

  build.alert(n.DRIFT, {
    expr: p.lines([p.block(beyond('<', n.DRIFT_CHANGE_UPPER)), 'or', p.block(beyond('>', n.DRIFT_CHANGE_LOWER))]),
    severity: 'warning',
    action: 'none',
    of_rollout: false,
    summary: 'The last releases of ' + config.service + ' have changed {{ $labels.kpi }} by {{ $value | humanizePercentage }} together',
    description: '{{ $labels.kpi }} has changed by {{ $value | humanizePercentage }} (' + of_kpi(n.DRIFT_CHANGE_LOWER) + ' to '
                 + of_kpi(n.DRIFT_CHANGE_UPPER) + ') over ' + of_kpi(n.DRIFT_RELEASES, formats.count)
                 + ' releases, the budget is ' + of_kpi(n.DRIFT_BUDGET)
                 + '. Each of them passed by itself; no traffic is moved. `canary report --all` lists them.',
  })

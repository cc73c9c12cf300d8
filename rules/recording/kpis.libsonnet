// The plain ratios of the strategy, from the counters, over windows that people like to read. Nothing is judged by them:
// orders lag their visits, so a windowed ratio is wrong just after the canary's traffic weight has grown.
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series)
  local rate(metric, window, more=[], by='version') =
    'sum by (' + by + ') (rate(' + p.own(config, metric, more) + '[' + window + ']))';
  local expr(kpi, window) =
    if kpi.kind == 'conversion' then
      (if kpi.complement then '1 -\n' else '') + rate(kpi.converted, window) + '\n/\n(' + rate(kpi.entered, window) + ' > 0)'
    else if kpi.kind == 'success' then
      rate(kpi.entered, window, [p.equals(n.OUTCOME, 'succeeded')]) + '\n/\n(' + rate(kpi.entered, window) + ' > 0)'
    else
      rate(n.ORDER_VALUE_TOTAL, window, by='version, currency') + '\n/ on (version) group_left ()\n('
      + rate(kpi.entered, window) + ' > 0)';
  local level(kpi) = if kpi.kind == 'mean' then 'version_currency:' else 'version:';

  [
    series.rule(level(kpi) + kpi.gauge + ':ratio_rate' + window, expr(kpi, window))
    for kpi in config.kpis
    if kpi.kind != 'mean' || kpi.of == 'orders'
    // What happens now, what has settled, and a whole day, over which the shop's hours do not matter.
    for window in ['5m', '1h', '1d']
  ]

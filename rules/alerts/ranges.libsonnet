// The normal ranges: leaving one is worth knowing, and nothing more.
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local s = config.signals;
  local t = series.technical;
  local m = series.machine;
  local read = series.read;
  local enough = 'and on (version)\n(' + read(t.requests(s.longWindow)) + ' >= ' + s.minimumRequests + ')';

  local capital(text) = std.asciiUpper(text[0:1]) + text[1:];
  local out_of_range(metric, expr, words, limit, filter='humanizePercentage', dashboard='rollout') = build.alert(n.OUT_OF_RANGE, {
    expr: expr,
    hold_for: config.info.holdFor,
    severity: 'info',
    action: 'none',
    dashboard: dashboard,
    labels: { [n.METRIC]: metric },
    summary: 'Canary {{ $labels.canary }}: ' + words + ' is outside its normal range',
    description: capital(words) + ' of {{ $labels.canary }} is {{ $value | ' + filter + ' }}; normal is '
                 + build.limit(limit, filter) + '.',
  });

  local technical = [
    out_of_range(
      'error_rate',
      p.for_canary(series.running, read(t.error_ratio(s.longWindow)) + ' > ' + config.info.errorRate + '\n' + enough),
      'the error rate',
      config.info.errorRate,
    ),
    out_of_range(
      'response_time',
      p.for_canary(series.running, read(t.p95(s.longWindow)) + ' >= ' + config.info.responseTime + '\n' + enough),
      'the ' + t.response_time_words,
      config.info.responseTime,
      'humanizeDuration',
    ),
    if t.failed_tries == null then []
    else out_of_range(
      'tries',
      p.for_canary(series.running, read(t.failed_tries) + ' > ' + config.info.errorRate + '\n' + enough),
      'the share of failed tries',
      config.info.errorRate,
    ),
    out_of_range('cpu', p.for_rollout(series.running, read(m.cpu) + ' > ' + config.info.cpu), 'the use of the CPU', config.info.cpu, dashboard='infrastructure'),
    if !m.watched.memory then []
    else out_of_range(
      'memory', p.for_rollout(series.running, read(m.memory) + ' > ' + config.info.memory), 'the use of memory', config.info.memory, dashboard='infrastructure'
    ),
    if !m.watched.disk then []
    else out_of_range(
      'disk', p.for_rollout(series.running, read(m.disk) + ' > ' + config.info.disk), 'the use of the disk', config.info.disk, dashboard='infrastructure'
    ),
  ];

  // A rate over a handful of units says nothing.
  local few_units(kpi) =
    'unless on ()\n(max(' + p.own(config, n.KPI_UNITS, [p.equals(n.KPI, kpi.name), p.equals(n.ROLE, 'canary')]) + ') < 30)';
  local kpi(kpi) =
    local below = if kpi.upward then ' < ' else ' > ';
    local worst = if kpi.upward then 'min' else 'max';
    out_of_range(
      kpi.name,
      p.lines([
        p.for_canary(series.running, worst + ' by (version) (' + p.own(config, kpi.gauge) + ')' + below + kpi.target),
        few_units(kpi),
      ]),
      kpi.words,
      kpi.target,
      kpi.filter,
    );

  if !config.info.enabled then []
  else std.flattenArrays(technical + [kpi(k) for k in config.kpis if k.target != ''])

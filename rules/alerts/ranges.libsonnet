// The normal ranges: leaving one is worth knowing, and nothing more.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local s = config.signals;
  local t = series.technical;
  local m = series.machine;
  local read = series.read;
  local beyond(expr, comparison, limit, kpi='') = p.beyond(expr, comparison, p.limit(config, limit, kpi));
  local of_canary(recorded, comparison, limit) =
    local own(name) = p.for_canary(series.running, read(name));
    beyond(own(recorded), comparison, limit) + '\nand on (rollout)\n'
    + p.block(beyond(own(t.requests(s.longWindow)), '>=', n.LIMIT_MINIMUM_REQUESTS))
    + '\nand on (rollout)\n' + series.rollout.settled;
  local of_machine(recorded, limit) = beyond(p.for_service(series.running, read(recorded)), '>', limit);

  local capital(text) = std.asciiUpper(text[0:1]) + text[1:];
  local out_of_range(metric, expr, words, limit, filter='humanizePercentage', dashboard='rollout', kpi='', severity='info') = build.alert(n.OUT_OF_RANGE, {
    expr: expr,
    hold_for: config.info.holdFor,
    severity: severity,
    action: 'none',
    dashboard: dashboard,
    labels: { [n.METRIC]: metric },
    summary: 'Canary {{ $labels.canary }}: ' + words + ' is outside its normal range',
    description: capital(words) + ' of {{ $labels.canary }} is {{ $value | ' + filter + ' }}; normal is '
                 + build.limit(limit, filter, kpi) + '.',
  });

  local technical = [
    out_of_range(
      'error_rate',
      of_canary(t.error_ratio(s.longWindow), '>', n.LIMIT_NORMAL_ERROR),
      'the error rate',
      n.LIMIT_NORMAL_ERROR,
    ),
    out_of_range(
      'response_time',
      of_canary(t.p95(s.longWindow), '>=', n.LIMIT_NORMAL_RESPONSE),
      'the ' + t.response_time_words,
      n.LIMIT_NORMAL_RESPONSE,
      'humanizeDuration',
      // As CanarySlowResponse of the strategy's own sample rules: 2 s for five minutes is a warning.
      severity='warning',
    ),
    if t.queries == null then []
    else out_of_range(
      'query_time',
      of_canary(t.queries.p95(s.longWindow), '>=', n.LIMIT_NORMAL_QUERY),
      "the 95th percentile of the database's query time",
      n.LIMIT_NORMAL_QUERY,
      'humanizeDuration',
      dashboard='infrastructure',
    ),
    if t.failed_tries == null then []
    else out_of_range(
      'tries',
      of_canary(t.failed_tries, '>', n.LIMIT_NORMAL_ERROR),
      'the share of failed tries',
      n.LIMIT_NORMAL_ERROR,
    ),
    out_of_range('cpu', of_machine(m.cpu, n.LIMIT_NORMAL_CPU) + '\nand on (rollout)\n' + series.rollout.settled, 'the use of the CPU', n.LIMIT_NORMAL_CPU, dashboard='infrastructure'),
    if !m.watched.memory then []
    else out_of_range(
      'memory', of_machine(m.memory, n.LIMIT_NORMAL_MEMORY), 'the use of memory', n.LIMIT_NORMAL_MEMORY, dashboard='infrastructure'
    ),
    if !m.watched.disk then []
    else out_of_range(
      'disk', of_machine(m.disk, n.LIMIT_NORMAL_DISK), 'the use of the disk', n.LIMIT_NORMAL_DISK, dashboard='infrastructure'
    ),
  ];

  // A rate over a handful of units says nothing.
  local few_units(kpi) =
    'unless on (rollout)\n(max by (rollout) (' + p.own(config, n.KPI_UNITS, [p.equals(n.KPI, kpi.name), p.equals(n.ROLE, 'canary')]) + ') < 30)';
  // What the exporter judges has a value of this rollout alone. What a version's gauge says is of the exporter's whole
  // window, and so of an earlier rollout of the version too, until this one is older than that.
  local kpi(kpi) =
    local below = if kpi.upward then '<' else '>';
    local worst = if kpi.upward then 'min' else 'max';
    local judged = kpi.judge == 'evidence';
    local own = if judged
    then p.for_rollout(series.running, 'max by (rollout) (' + p.own(config, n.KPI_VALUE, [p.equals(n.KPI, kpi.name), p.equals(n.ROLE, 'canary')]) + ')')
    else p.for_canary(series.running, worst + ' by (version) (' + p.own(config, kpi.gauge) + ')');
    out_of_range(
      kpi.name,
      p.lines([
        beyond(own, below, n.LIMIT_KPI_TARGET, kpi.name),
        if judged then few_units(kpi) else 'and on (rollout)\n' + series.rollout.older_than(config.kpiWindowSeconds),
      ]),
      kpi.words,
      n.LIMIT_KPI_TARGET,
      formats.of_kpi(kpi),
      kpi=kpi.name,
    );

  if !config.info.enabled then []
  else std.flattenArrays((if config.technical then technical else []) + [kpi(k) for k in config.kpis if k.target])

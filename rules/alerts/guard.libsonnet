// What makes the judgement itself untrustworthy: it freezes the canary's share. Every series that another alert
// depends on has its companion here, which notices that the series is not there.
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local s = config.signals;
  local t = series.technical;
  local m = series.machine;
  local running = series.running;
  local own(metric, matchers=[]) = p.own(config, metric, matchers);
  local missed = config.missedScrapes;

  local blind(reason, expr, hold_for, summary, description, action='hold') = build.alert(n.BLIND_ALERT, {
    expr: expr,
    hold_for: hold_for,
    severity: if action == 'hold' then 'critical' else 'warning',
    action: action,
    labels: { [n.REASON]: reason },
    summary: summary,
    description: description + (if action == 'hold' then " The canary's share stays as it is until this is over." else ''),
  });

  local missing(expr) = p.lines([running, 'unless on ()', p.block(expr)]);
  local missing_version(expr) = p.lines([running, 'unless on (version)', p.block(expr)]);
  local of_canary = 'max(' + own(n.TRAFFIC_RATIO, [p.equals(n.ROLE, 'canary')]) + ') > 0';

  local judged = [kpi for kpi in config.kpis if kpi.judge == 'evidence' && kpi.action != 'warn'];
  local names = std.join('|', [kpi.name for kpi in judged]);
  local verdicts(verdict) = own(n.KPI_VERDICT, [p.matches(n.KPI, names), p.matches(n.VERDICT, verdict)]);

  local evidence = [
    blind(
      'exporter',
      missing(own(n.DATABASE_UP)),
      missed,
      'Nothing is known about canary {{ $labels.canary }}: the exporter does not answer',
      'Prometheus has no series of the exporter of ' + config.service + '.',
    ),
    blind(
      'database',
      p.during(running, 'max(' + own(n.DATABASE_UP) + ') == 0'),
      missed,
      'Nothing is known about canary {{ $labels.canary }}: the order database cannot be read',
      'The exporter of ' + config.service + ' cannot read the order database.',
    ),
    blind(
      'stale',
      p.for_rollout(running, p.lines([
        'time() - max(' + own(n.LAST_REFRESH_TIMESTAMP_SECONDS) + ')',
        '> ' + config.evidence.stalenessSeconds,
      ])),
      '',
      'What is known about canary {{ $labels.canary }} is {{ $value | humanizeDuration }} old',
      'The exporter read the order database {{ $value | humanizeDuration }} ago; the limit is '
      + build.limit(config.evidence.stalenessSeconds, 'humanizeDuration') + '.',
    ),
    // The exporter's own reasons, as labels.
    build.alert(n.BLIND_ALERT, {
      expr: p.lines([
        p.block('max by (reason) (' + own(n.BLIND) + ') == 1'),
        '* on () group_left (rollout, stable, canary, version)',
        running,
      ]),
      hold_for: missed,
      severity: 'critical',
      action: 'hold',
      labels: { [n.SCOPE]: 'exporter' },
      summary: 'The judgement of canary {{ $labels.canary }} is blind: {{ $labels.reason }}',
      description: 'The exporter of ' + config.service
                   + " says that the data behind its judgement are not to be trusted ({{ $labels.reason }}). The canary's share stays as it is until this is over.",
    }),
  ] + (if judged == [] then [] else [
         blind(
           'kpi',
           p.lines([
             p.block('max by (kpi) (' + verdicts('blind') + ') == 1'),
             '* on () group_left (rollout, stable, canary, version)',
             running,
           ]),
           missed,
           'Canary {{ $labels.canary }}: {{ $labels.kpi }} cannot be judged',
           'The data behind {{ $labels.kpi }} are too old or missing.',
         ),
         blind(
           'evidence',
           p.lines([
             p.during(running, 'max(' + own(n.DATABASE_UP) + ') == 1'),
             'unless on ()',
             '(count(max by (kpi) (' + verdicts('.+') + ')) == ' + std.length(judged) + ')',
           ]),
           missed,
           'Canary {{ $labels.canary }} is not judged',
           'The exporter of ' + config.service + ' publishes no verdict for at least one of ' + std.strReplace(names, '|', ', ') + '.',
         ),
       ]);

  local signals = if !config.critical.enabled then [] else [
    if !build.enabled(n.HIGH_ERROR_RATE) then [] else blind(
      'requests',
      p.lines([p.during(running, of_canary), 'unless on (version)', p.block(t.raw_requests)]),
      s.longWindow,
      'Errors of canary {{ $labels.canary }} cannot be seen',
      'Prometheus has no series that counts the requests of {{ $labels.canary }}.',
    ),
    if !build.enabled(n.VERY_SLOW_RESPONSE) then [] else blind(
      'response_time',
      p.lines([p.during(running, of_canary), 'unless on (version)', p.block(t.raw_durations)]),
      s.longWindow,
      'Response times of canary {{ $labels.canary }} cannot be seen',
      'Prometheus has no series with the response times of {{ $labels.canary }}.',
    ),
    if s.connectionErrors == '' || !build.enabled(n.DATABASE_CONNECTION_FAILURES) then [] else blind(
      'database_connections',
      missing_version(p.renamed(
        'max by (' + s.versionLabel + ') (' + p.select(s.connectionErrors, [s.selector]) + ')', s.versionLabel, 'version'
      )),
      s.longWindow,
      'Failed database connections of canary {{ $labels.canary }} cannot be seen',
      'Prometheus has no ' + s.connectionErrors + ' of {{ $labels.canary }}, so ' + n.DATABASE_CONNECTION_FAILURES + ' cannot fire.',
      'none',
    ),
    if !m.watched.memory || !build.enabled(n.HIGH_MEMORY) then [] else blind(
      'memory',
      missing(m.raw_memory),
      s.longWindow,
      'The memory of canary {{ $labels.canary }} cannot be seen',
      "Prometheus has no memory metrics of the canary's machine, so " + n.HIGH_MEMORY + ' cannot fire.',
      'none',
    ),
  ];

  local canary_share(metric) = 'max(' + own(metric, [p.equals(n.ROLE, 'canary')]) + ')';
  local mismatch =
    build.alert(n.TRAFFIC_MISMATCH, {
      expr: p.for_rollout(running, 'max(' + own(n.TRAFFIC_MISMATCH_EVIDENCE) + ') >= ' + config.evidence.mismatchThreshold),
      severity: 'critical',
      action: 'hold',
      labels: { [n.REASON]: 'units' },
      summary: 'Canary {{ $labels.canary }} gets another share of customers than it should',
      description: 'Proven: the share of units in the order database that {{ $labels.canary }} has differs by more than '
                   + build.limit(config.evidence.mismatch) + ' from its traffic of ' + build.shown(canary_share(n.TRAFFIC_TARGET_RATIO))
                   + '. Routing or the stamping of versions is broken, or the canary loses sessions; the comparison is not to be trusted. The evidence is 10^{{ $value | humanize }}, the limit 10^'
                   + config.evidence.mismatchThreshold + '.',
    })
    + build.alert(n.TRAFFIC_MISMATCH, {
      // A hundredth of a percent is the finest share that a router knows.
      expr: p.for_rollout(running, p.lines([
        canary_share(n.TRAFFIC_RATIO),
        'and on ()',
        '(abs(' + canary_share(n.TRAFFIC_RATIO) + ' - ' + canary_share(n.TRAFFIC_TARGET_RATIO) + ') > 0.0001)',
      ])),
      hold_for: config.rollback.converge,
      severity: 'critical',
      action: 'hold',
      labels: { [n.REASON]: 'router' },
      summary: 'The router gives canary {{ $labels.canary }} {{ $value | humanizePercentage }} of the traffic',
      description: 'The router reads back {{ $value | humanizePercentage }} for {{ $labels.canary }}; asked for was '
                   + build.shown(canary_share(n.TRAFFIC_TARGET_RATIO)) + '.',
    })
    + blind(
      'router',
      missing(own(n.TRAFFIC_RATIO, [p.equals(n.ROLE, 'canary')])),
      config.rollback.converge,
      'The traffic of canary {{ $labels.canary }} cannot be read back',
      'The receiver of ' + config.service + ' cannot read from the router how much traffic {{ $labels.canary }} has.',
    );

  local replica = if config.database.replicaMaxLagSeconds == '' then [] else
    build.alert(n.REPLICA_LAG, {
      expr: p.for_rollout(running, 'max(' + own(n.REPLICA_LAG_SECONDS) + ') > ' + config.database.replicaMaxLagSeconds),
      severity: 'warning',
      action: 'hold',
      summary: "The order database's replica is {{ $value | humanizeDuration }} behind",
      description: 'The replica that the exporter of ' + config.service + ' reads is {{ $value | humanizeDuration }} behind; the limit is '
                   + build.limit(config.database.replicaMaxLagSeconds, 'humanizeDuration') + '.',
    })
    + blind(
      'replica_lag',
      p.lines([p.during(running, 'max(' + own(n.DATABASE_UP) + ') == 1'), 'unless on ()', own(n.REPLICA_LAG_SECONDS)]),
      missed,
      "The lag of the order database's replica is not known",
      'The exporter of ' + config.service + ' cannot measure how far the replica is behind.',
    );

  local schema = build.alert(n.SCHEMA_INCOMPATIBLE, {
    expr: p.during(running, 'max(' + own(n.SCHEMA_COMPATIBLE) + ') == 0'),
    severity: 'critical',
    action: 'hold',
    summary: 'The order database has lost something that both versions need',
    description: "A mapped table or column is missing or has another type while {{ $labels.canary }} runs beside {{ $labels.stable }}; the exporter's log and landing page say which.",
  });

  std.flattenArrays(evidence + signals) + mismatch + replica + schema

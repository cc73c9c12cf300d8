// What makes the judgement itself untrustworthy: it freezes the canary's traffic weight. Every series that another alert
// depends on has its companion here, which notices that the series is not there.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local s = config.signals;
  local t = series.technical;
  local m = series.machine;
  local running = series.running;
  local own(metric, matchers=[]) = p.own(config, metric, matchers);
  local missed = config.missedScrapes;

  local blind(reason, expr, hold_for, summary, description, action='hold', severity='warning') = build.alert(n.BLIND_ALERT, {
    expr: expr,
    hold_for: hold_for,
    severity: if action == 'hold' then 'critical' else severity,
    action: action,
    labels: { [n.REASON]: reason },
    summary: summary,
    description: description + (if action == 'hold' then ' Traffic is frozen at its current weight until this clears.' else ''),
  });

  // *expr* are series of this service, of a rollout, of a version.
  local missing(expr) = p.lines([running, 'unless on (service)', p.block(expr)]);
  local missing_rollout(expr) = p.lines([running, 'unless on (rollout)', p.block(expr)]);
  local missing_version(expr) = p.lines([running, 'unless on (version)', p.block(expr)]);
  local has_traffic(role) = p.during(running, 'max by (rollout) (' + own(n.TRAFFIC_RATIO, [p.equals(n.ROLE, role)]) + ') > 0');
  local database_up(value) =
    p.while_service(running, 'max by (service) (' + own(n.DATABASE_UP) + ') == ' + value);

  local judged = [kpi for kpi in config.kpis if kpi.judge == 'evidence' && kpi.action != 'warn'];
  local names = std.join('|', [kpi.name for kpi in judged]);
  local verdicts(verdict) = own(n.KPI_VERDICT, [p.among(n.KPI, names), verdict]);

  local evidence = [
    blind(
      'exporter',
      missing(own(n.DATABASE_UP)),
      missed,
      'No data for canary {{ $labels.canary }}: exporter is down or not scraped',
      'Prometheus has no series of the exporter of ' + config.service + '.',
    ),
    blind(
      'database',
      database_up('0'),
      missed,
      'No data for canary {{ $labels.canary }}: order database is unreachable',
      'The exporter of ' + config.service + ' cannot read the order database.',
    ),
    blind(
      'stale',
      p.beyond(
        p.for_service(running, 'min by (service) (' + own(n.LAST_REFRESH_AGE_SECONDS) + ')'),
        '>',
        p.limit(config, n.LIMIT_STALENESS)
      ),
      '',
      'Data for canary {{ $labels.canary }} is stale ({{ $value | humanizeDuration }} old, limit ' + build.limit(n.LIMIT_STALENESS, 'humanizeDuration') + ')',
      'The exporter read the order database {{ $value | humanizeDuration }} ago; the limit is '
      + build.limit(n.LIMIT_STALENESS, 'humanizeDuration') + '.',
    ),
    // Every rule that acts compares with them.
    blind(
      'limits',
      missing_rollout(own(n.ROLLOUT_LIMIT)),
      missed,
      'No limits for canary {{ $labels.canary }}: the receiver publishes none',
      'The receiver of ' + config.service + ' publishes no limits for rollout {{ $labels.rollout }}, so that no other alert about it can fire.',
    ),
    // The exporter's own reasons, as labels.
    build.alert(n.BLIND_ALERT, {
      expr: p.lines([
        p.block('max by (service, reason) (' + own(n.BLIND) + ') == 1'),
        '* on (service) group_left (rollout, stable, canary, version)',
        running,
      ]),
      hold_for: missed,
      severity: 'critical',
      action: 'hold',
      labels: { [n.SCOPE]: 'exporter' },
      summary: 'No trusted data for canary {{ $labels.canary }}: {{ $labels.reason }}',
      description: 'The exporter of ' + config.service
                   + ' says that the data behind its judgement are not to be trusted ({{ $labels.reason }}). Traffic is frozen at its current weight until this clears.',
    }),
  ] + (if judged == [] then [] else [
         blind(
           'kpi',
           p.lines([
             p.block('max by (rollout, kpi) (' + verdicts(p.equals(n.VERDICT, 'blind')) + ') == 1'),
             '* on (rollout) group_left (stable, canary, version)',
             running,
           ]),
           missed,
           'No data for {{ $labels.kpi }} of canary {{ $labels.canary }}',
           'The data behind {{ $labels.kpi }} are too old or missing.',
         ),
         blind(
           'evidence',
           p.lines([
             database_up('1'),
             'unless on (rollout)',
             '(count by (rollout) (max by (rollout, kpi) (' + verdicts(p.differs(n.VERDICT, '')) + ')) == ' + std.length(judged) + ')',
           ]),
           missed,
           'No verdict for canary {{ $labels.canary }}: the exporter publishes none',
           'The exporter of ' + config.service + ' publishes no verdict for at least one of ' + std.strReplace(names, '|', ', ') + '.',
         ),
       ]);

  // Without the series of an alert that acts, the share is held; where alerts only tell, people are notified.
  local any(tier, names) = config.technical && tier.enabled && std.length(std.filter(build.enabled, names)) > 0;
  local tells = any(config.info, [n.OUT_OF_RANGE]);
  local action(acting, telling) = if any(config.critical, acting) then 'hold' else if telling then 'none' else '';
  local of_requests = action(
    [n.HIGH_ERROR_RATE, n.VERY_SLOW_RESPONSE],
    tells || any(config.warning, [n.ELEVATED_ERROR_RATE, n.SLOW_RESPONSE])
    || any(config.againstStable, [n.ERROR_RATE_DEGRADED, n.RESPONSE_TIME_DEGRADED]),
  );
  local of_durations = action(
    [n.VERY_SLOW_RESPONSE],
    tells || any(config.warning, [n.SLOW_RESPONSE]) || any(config.againstStable, [n.RESPONSE_TIME_DEGRADED]),
  );
  local of_stable =
    (if any(config.againstStable, [n.ERROR_RATE_DEGRADED, n.RESPONSE_TIME_DEGRADED]) then [t.raw_requests] else [])
    + (if any(config.againstStable, [n.RESPONSE_TIME_DEGRADED]) then [t.raw_durations] else []);
  local machine = [m.raw_cpu] + (if m.watched.memory then [m.raw_memory] else []) + (if m.watched.disk then [m.raw_disk] else []);

  local signals = [
    if of_requests == '' then [] else blind(
      'requests',
      // Not the counter itself: one that is scraped too seldom for the window is there, and tells nothing.
      p.lines([has_traffic('canary'), 'unless on (version)', p.block(series.read(t.requests(s.window)))]),
      s.longWindow,
      'No request metrics for canary {{ $labels.canary }}',
      'Prometheus has no series that counts the requests of {{ $labels.canary }}.',
      of_requests,
    ),
    if of_durations == '' then [] else blind(
      'response_time',
      p.lines([has_traffic('canary'), 'unless on (version)', p.block(t.raw_durations)]),
      s.longWindow,
      'No response time metrics for canary {{ $labels.canary }}',
      'Prometheus has no series with the response times of {{ $labels.canary }}.',
      of_durations,
    ),
    if of_stable == [] then [] else blind(
      'stable',
      p.lines([
        has_traffic('stable'),
        'unless on (rollout)',
        p.block(std.join('\nand on (rollout)\n', [p.block(t.known_of_stable(expr)) for expr in of_stable])),
      ]),
      s.longWindow,
      'No request metrics for stable {{ $labels.stable }} to compare canary {{ $labels.canary }} with',
      'Prometheus has no series with the requests, or the response times, of {{ $labels.stable }}, so that '
      + n.ERROR_RATE_DEGRADED + ' and ' + n.RESPONSE_TIME_DEGRADED + ' cannot fire.',
      'none',
    ),
    if !config.technical || t.servers == null then [] else blind(
      'servers',
      p.while_service(has_traffic('canary'), p.of_service(config, t.servers) + ' == 0'),
      missed,
      'HAProxy has no server left for canary {{ $labels.canary }}',
      'The backend ' + s.canaryBackend + ' has no active server. Spare servers answer in their place, or nobody does, and what HAProxy counts there says nothing about {{ $labels.canary }}.',
    ),
    if t.connections == null || !any(config.critical, [n.DATABASE_CONNECTION_FAILURES]) then [] else blind(
      'database_connections',
      missing_version(t.connections.raw),
      s.longWindow,
      'No database connection metrics for canary {{ $labels.canary }}',
      'Prometheus has no ' + s.connectionErrors + ' of {{ $labels.canary }}, so ' + n.DATABASE_CONNECTION_FAILURES + ' cannot fire.',
      'none',
    ),
    if !s.queriesRollBack || !any(config.critical, [n.VERY_SLOW_QUERIES]) then [] else blind(
      'query_time',
      missing_version(t.queries.raw),
      s.longWindow,
      'No database query time metrics for canary {{ $labels.canary }}',
      'Prometheus has no ' + s.queryDuration + ' of {{ $labels.canary }}, so ' + n.VERY_SLOW_QUERIES + ' cannot fire.',
      'none',
    ),
    if !m.watched.memory || !any(config.critical, [n.HIGH_MEMORY]) then [] else blind(
      'memory',
      missing(p.of_service(config, 'count(' + m.raw_memory + ')')),
      s.longWindow,
      'No memory metrics for canary {{ $labels.canary }}',
      "Prometheus has no memory metrics of the canary's machine, so " + n.HIGH_MEMORY + ' cannot fire.',
      'none',
    ),
    if !tells then [] else blind(
      'machine',
      missing(std.join('\nand on (service)\n', [p.of_service(config, 'count(' + expr + ')') for expr in machine])),
      s.longWindow,
      'No machine metrics for canary {{ $labels.canary }}',
      "Prometheus lacks metrics of the canary's CPU" + (if m.watched.memory then ', memory' else '') + (if m.watched.disk then ' or disk' else '')
      + ', so that ' + n.OUT_OF_RANGE + ' cannot fire for them.',
      'none',
      'info',
    ),
  ];

  local of_canary = [p.equals(n.ROLE, 'canary')];
  local canary_share(metric) = 'max by (rollout) (' + own(metric, of_canary) + ')';
  local mismatch =
    build.alert(n.TRAFFIC_MISMATCH, {
      expr: p.beyond(
        p.for_rollout(running, 'max by (rollout) (' + own(n.TRAFFIC_MISMATCH_EVIDENCE) + ')'),
        '>=',
        p.limit(config, n.LIMIT_MISMATCH_EVIDENCE)
      ),
      severity: 'critical',
      action: 'hold',
      labels: { [n.REASON]: 'units' },
      summary: "Sample ratio mismatch: {{ $labels.canary }}'s share of customers does not match its traffic weight",
      description: 'Proven: the share of units in the order database that {{ $labels.canary }} has differs by more than '
                   + build.limit(n.LIMIT_MISMATCH) + ' from its traffic of ' + build.value(n.TRAFFIC_TARGET_RATIO, matchers=of_canary)
                   + '. Routing or the stamping of versions is broken, or the canary loses sessions; the comparison is not to be trusted. The e-value is 10^{{ $value | ' + formats.number + ' }}, the threshold 10^'
                   + build.limit(n.LIMIT_MISMATCH_EVIDENCE, formats.number) + '.',
    })
    + build.alert(n.TRAFFIC_MISMATCH, {
      // A hundredth of a percent is the finest share that a router knows.
      expr: p.for_rollout(running, p.lines([
        canary_share(n.TRAFFIC_RATIO),
        'and on (rollout)',
        '(abs(' + canary_share(n.TRAFFIC_RATIO) + ' - on (rollout) ' + canary_share(n.TRAFFIC_TARGET_RATIO) + ') > 0.0001)',
      ])),
      hold_for: config.converge,
      severity: 'critical',
      action: 'hold',
      labels: { [n.REASON]: 'router' },
      summary: 'The router gives canary {{ $labels.canary }} {{ $value | humanizePercentage }} of the traffic',
      description: 'The router reads back {{ $value | humanizePercentage }} for {{ $labels.canary }}; asked for was '
                   + build.value(n.TRAFFIC_TARGET_RATIO, matchers=of_canary) + '.',
    })
    + blind(
      'router',
      missing_rollout(own(n.TRAFFIC_RATIO, of_canary)),
      config.converge,
      'Traffic weight of canary {{ $labels.canary }} is unknown: no router reports it',
      'The receiver of ' + config.service + ' cannot read from the router how much traffic {{ $labels.canary }} has.',
    );

  local replica = if !config.replica then [] else
    build.alert(n.REPLICA_LAG, {
      expr: p.beyond(
        p.for_service(running, 'max by (service) (' + own(n.REPLICA_LAG_SECONDS) + ')'),
        '>',
        p.limit(config, n.LIMIT_REPLICA_LAG)
      ),
      severity: 'warning',
      action: 'hold',
      summary: "The order database's replica is {{ $value | humanizeDuration }} behind",
      description: 'The replica that the exporter of ' + config.service + ' reads is {{ $value | humanizeDuration }} behind; the limit is '
                   + build.limit(n.LIMIT_REPLICA_LAG, 'humanizeDuration') + '.',
    })
    + blind(
      'replica_lag',
      p.lines([database_up('1'), 'unless on (service)', own(n.REPLICA_LAG_SECONDS)]),
      missed,
      "The lag of the order database's replica is not known",
      'The exporter of ' + config.service + ' cannot measure how far the replica is behind.',
    );

  // Silence alone is no fault of a small shop's at night, so that it has to last; a follower that is gone says nothing.
  local log = if !config.log then [] else build.alert(n.LOG_LAGS, {
    expr: p.lines([
      p.beyond(
        p.for_service(running, 'max by (service) (' + own(n.LOG_LINE_AGE_SECONDS) + ')'),
        '>',
        p.limit(config, n.LIMIT_STALENESS)
      ),
      'or',
      p.block(p.lines([running, 'unless on (service)', own(n.LOG_LINE_AGE_SECONDS)])),
    ]),
    hold_for: '1m',
    severity: 'warning',
    action: 'none',
    summary: "The router's log of " + config.service + ' is not followed: `canary assignments` lags, has no lines, or is down',
    description: 'No line of the log was kept, or its end not reached, for longer than '
                 + build.limit(n.LIMIT_STALENESS, 'humanizeDuration')
                 + ', or Prometheus has no ' + n.LOG_LINE_AGE_SECONDS + ' of ' + config.service + '. Versions of new customers are unknown meanwhile; too many of them hold the rollout (CanaryAssignmentsUnknown).',
  });

  // The replica's rows are the only ones that anybody judges by: which event's are not as in the primary is a label.
  local primary = if !config.primary then [] else build.alert(n.REPLICA_INCOMPLETE, {
    expr: p.lines([
      p.block('max by (rollout, event, fault) (' + own(n.REPLICA_FAULTY_ROWS) + ') > 0'),
      '* on (rollout) group_left (service, stable, canary, version)',
      running,
    ]),
    severity: 'critical',
    action: 'hold',
    summary: "Rows of the order database's replica are {{ $labels.fault }}: " + '{{ $value | ' + formats.count + ' }} of {{ $labels.event }}',
    description: 'Of the newest {{ $labels.event }}, {{ $value | ' + formats.count + ' }} are not in the replica that the exporter of ' + config.service
                 + " reads as they are in its primary ({{ $labels.fault }}), and its lag does not explain it; the exporter's log names them. "
                 + 'Traffic is frozen at its current weight until this clears.',
  });

  // Rows without a version are in no verdict. Of fewer than these a share says nothing.
  local fewest_rows = '20';
  local event(counter) = std.substr(counter, std.length(n.SHOP_PREFIX), std.length(p.base(counter)) - std.length(n.SHOP_PREFIX));
  local judged_events = std.join('|', std.set([
    event(counter)
    for kpi in judged
    for counter in [kpi.entered] + (if kpi.kind == 'conversion' then [kpi.converted] else [])
  ]));
  local of_event(metric) =
    'max by (service, event) (' + own(metric, [p.among(n.EVENT, judged_events)]) + ')';
  local unknown = if judged == [] then [] else build.alert(n.ASSIGNMENTS_UNKNOWN, {
    expr: p.beyond(
      p.lines([
        p.block(p.lines([of_event(n.UNKNOWN_VERSION_RATIO), 'and on (service, event)', of_event(n.VERSION_ROWS) + ' >= ' + fewest_rows])),
        '* on (service) group_left (rollout, stable, canary, version)',
        running,
      ]),
      '>',
      p.limit(config, n.LIMIT_UNKNOWN_VERSIONS)
    ),
    hold_for: '1m',
    severity: 'critical',
    action: 'hold',
    summary: 'Versions of {{ $labels.event }} unknown: {{ $value | humanizePercentage }} of the rows name none',
    description: 'Of the {{ $labels.event }} since the rollout began, {{ $value | humanizePercentage }} have no version, expected at most '
                 + build.limit(n.LIMIT_UNKNOWN_VERSIONS)
                 + '. They are in no verdict, and those that are left may be no fair sample. Traffic is frozen at its current weight until this clears.',
  });

  local schema = build.alert(n.SCHEMA_INCOMPATIBLE, {
    expr: p.while_service(running, 'max by (service) (' + own(n.SCHEMA_COMPATIBLE) + ') == 0'),
    severity: 'critical',
    action: 'hold',
    summary: 'Order database schema changed: a mapped table or column is missing or changed type',
    description: "A mapped table or column is missing or has another type while {{ $labels.canary }} runs next to {{ $labels.stable }}; the exporter's log and landing page say which.",
  });

  // Which of many faults it is, is a label that the rollout does not have: so the fault is the side that has the labels.
  local fault(metric) = 'max by (rollout, event, fault, column) (' + own(metric) + ')';
  local of_fault(role) =
    local labels = [n.ROLLOUT, n.EVENT, n.FAULT, n.COLUMN, role];
    local matchers = [label + '=%q' for label in labels[:4] + [n.VERSION]];
    std.join(' of ', [
      build.shown('sum(' + p.own(config, metric, matchers) + ')', formats.count, labels)
      for metric in [n.CONSISTENCY_FAULTY_ROWS, n.CONSISTENCY_ROWS]
    ]);
  local consistency = build.alert(n.ROWS_INCONSISTENT, {
    expr: p.lines([
      p.block(fault(n.CONSISTENCY_BROKEN) + ' == 1'),
      '* on (rollout) group_left (service, stable, canary, version)',
      running,
    ]),
    severity: 'critical',
    action: 'hold',
    summary: 'Rows of canary {{ $labels.canary }} do not fit together: {{ $labels.event }}, {{ $labels.column }} ({{ $labels.fault }})',
    description: 'Of the newest {{ $labels.event }}, ' + of_fault('canary') + ' of {{ $labels.canary }} and ' + of_fault('stable')
                 + ' of {{ $labels.stable }} are at fault ({{ $labels.fault }}: {{ $labels.column }}), more than chance explains. '
                 + 'Traffic is frozen at its current weight until this clears.',
  });

  // What goes by another policy than the rollout judges or alerts by limits that nobody has agreed to for it. A moment is
  // given for a policy that is being taken over by one after the other. The rules know their own digest, so that an
  // alert that is written out needs no recorded series.
  local info(component, more=[]) = own(n.POLICY_INFO, [p.equals(n.COMPONENT, component)] + more);
  local other_policy(component, agrees, known=[]) = build.alert(n.POLICY_MISMATCH, {
    expr: p.lines(
      [running]
      + std.flattenArrays([['and on (service)', one] for one in [info('receiver')] + known])
      + ['unless on (service)', p.block(agrees)]
    ),
    hold_for: '1m',
    severity: 'critical',
    action: 'hold',
    labels: { [n.COMPONENT]: component },
    summary: 'Canary {{ $labels.canary }}: the ' + component + ' of ' + config.service + ' and the rollout go by different policies',
    description: 'Rollout {{ $labels.rollout }} runs by the policy '
                 + '{{ with query `' + info('receiver') + '` }}{{ . | first | label "digest" }}{{ else }}?{{ end }}'
                 + ', the ' + component + ' of ' + config.service + ' by '
                 + (if component == 'rules' then config.digest
                    else '{{ with query `' + info(component) + '` }}{{ . | first | label "digest" }}{{ else }}?{{ end }}')
                 + '. Traffic is frozen at its current weight until they agree: put the policy back, or take the new one over with `canary amend` and `canary generate`.',
  });
  local policy =
    other_policy('exporter', p.lines([info('exporter'), 'and on (service, digest)', info('receiver')]), [info('exporter')])
    + (if config.digest == '' then [] else other_policy('rules', info('receiver', [p.equals(n.DIGEST, config.digest)])));

  std.flattenArrays(evidence + signals) + mismatch + unknown + log + replica + primary + schema + consistency + policy

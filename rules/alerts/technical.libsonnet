// Errors, response times, database connections, memory: the canary's own, by its version.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local s = config.signals;
  local t = series.technical;
  local m = series.machine;
  local read = series.read;

  local limit(name) = p.limit(config, name);

  // *recorded*, a series by version, as the rollouts' own value, where it is beyond a limit of theirs.
  local beyond(rollouts, recorded, comparison, name) =
    p.beyond(p.for_canary(rollouts, read(recorded)), comparison, limit(name));
  local enough(rollouts, window, least=n.LIMIT_MINIMUM_REQUESTS) =
    'and on (rollout)\n' + p.block(beyond(rollouts, t.requests(window), '>=', least));
  // Within each window once the rollout is older than it: before, it would hold what an earlier rollout of the same
  // version left behind. So a rollout that has just begun is judged by the shortest.
  local during(condition, rung) = condition(rung.window) + '\nand on (rollout)\n' + series.rollout.older_than(rung.seconds);
  local any(rungs, condition) = std.join('\nor on (rollout)\n', [p.block(during(condition, rung)) for rung in rungs]);
  local whole_windows = [rung for rung in s.ladder if std.member([s.window, s.longWindow], rung.window)];
  // HAProxy's average tells the mean of a window by how far it has moved, which is too little in a short one.
  local of_times = if t.by_endpoint then s.ladder else whole_windows;

  // *value* is told, *bound* is compared.
  local surely(rungs, value, bound, comparison, name, least=n.LIMIT_MINIMUM_REQUESTS) = function(rollouts) any(rungs, function(window) p.lines([
    p.for_canary(rollouts, read(value(window))),
    'and on (rollout)',
    p.block(beyond(rollouts, bound(window), comparison, name)),
    enough(rollouts, window, least),
  ]));
  local too_many_errors = surely(s.ladder, t.error_ratio, t.error_ratio_lower, '>', n.LIMIT_CRITICAL_ERROR);
  local too_slow = surely(of_times, t.p95, t.p95_lower, '>=', n.LIMIT_CRITICAL_RESPONSE);
  // Queries of one request are alike, so it is the requests that tell how well their quantile is known.
  local queries_too_slow =
    surely(whole_windows, t.queries.p95, t.queries.p90, '>=', n.LIMIT_CRITICAL_QUERY, n.LIMIT_QUANTILE_REQUESTS);
  // Over the long window the same number would be another limit.
  local connection_failures(rollouts) = std.join('\nor on (rollout)\n', [
    p.block(during(function(window) beyond(rollouts, t.connections.failures(window), '>=', n.LIMIT_CRITICAL_CONNECTIONS), rung))
    for rung in s.ladder
    if rung.window != s.longWindow || rung.window == s.window
  ]);
  local short_of_memory(rollouts) =
    p.beyond(p.for_service(rollouts, read(m.memory)), '>', limit(n.LIMIT_CRITICAL_MEMORY));
  // Within the long window, where there is enough to tell people.
  local told(recorded, comparison, name) =
    beyond(series.running, recorded, comparison, name) + '\n' + enough(series.running, s.longWindow)
    + '\nand on (rollout)\n' + series.rollout.settled;

  local of_version(name) = p.own(config, name, ['version=%q']);
  local requests(window) =
    build.shown('round(max(' + of_version(t.requests(window)) + '))', formats.count, ['canary']) + ' requests within ' + window;
  local stable(name, filter='humanizePercentage') =
    'Stable {{ $labels.stable }}: ' + build.shown('max(' + of_version(name) + ')', filter, ['stable']) + '.';

  // While the rollout runs it rolls back; after promotion, as long as it is watched, people are notified.
  local absolute(name, condition, spec) =
    build.alert(name, spec { expr: condition(series.running), severity: 'critical', action: 'rollback', hold_for: config.critical.holdFor })
    + build.alert(name, spec {
      expr: condition(series.promoted),
      severity: 'critical',
      action: 'none',
      hold_for: config.critical.holdFor,
      labels: { [n.STATE]: 'promoted' },
    }, watch=true);

  local critical = if !config.critical.enabled then [] else
    absolute(n.HIGH_ERROR_RATE, too_many_errors, {
      summary: 'Canary {{ $labels.canary }} answers {{ $value | humanizePercentage }} of its requests with errors',
      description: 'Of ' + requests(s.longWindow) + ' to {{ $labels.canary }}, {{ $value | humanizePercentage }} ended in a server error; the limit is '
                   + build.limit(n.LIMIT_CRITICAL_ERROR) + '. ' + stable(t.error_ratio(s.longWindow)),
    })
    + absolute(n.VERY_SLOW_RESPONSE, too_slow, {
      summary: 'Canary {{ $labels.canary }} takes {{ $value | humanizeDuration }} to answer',
      description: 'The ' + t.response_time_words + ' of {{ $labels.canary }} is {{ $value | humanizeDuration }}, over '
                   + requests(s.longWindow) + '; the limit is ' + build.limit(n.LIMIT_CRITICAL_RESPONSE, 'humanizeDuration') + '. '
                   + stable(t.p95(s.longWindow), 'humanizeDuration'),
    })
    + (if !s.queriesRollBack then [] else absolute(n.VERY_SLOW_QUERIES, queries_too_slow, {
         summary: "Canary {{ $labels.canary }}'s queries to its database take {{ $value | humanizeDuration }}",
         description: "The 95th percentile of {{ $labels.canary }}'s query time is {{ $value | humanizeDuration }}, over "
                      + requests(s.longWindow) + '; the limit is ' + build.limit(n.LIMIT_CRITICAL_QUERY, 'humanizeDuration') + '. '
                      + stable(t.queries.p95(s.longWindow), 'humanizeDuration'),
       }))
    + (if t.connections == null then [] else absolute(n.DATABASE_CONNECTION_FAILURES, connection_failures, {
         summary: 'Canary {{ $labels.canary }} cannot connect to its database',
         description: '{{ $labels.canary }} failed about {{ $value | ' + formats.count + ' }} times to connect to its database within '
                      + s.window + '; the limit is ' + build.limit(n.LIMIT_CRITICAL_CONNECTIONS, formats.count) + '.',
       }))
    + (if !m.watched.memory then [] else absolute(n.HIGH_MEMORY, short_of_memory, {
         summary: 'Canary {{ $labels.canary }} has {{ $value | humanizePercentage }} of its memory in use',
         description: '{{ $value | humanizePercentage }} of memory is in use where canary {{ $labels.canary }} runs; the limit is '
                      + build.limit(n.LIMIT_CRITICAL_MEMORY) + '.',
       }));

  local warning = if !config.warning.enabled then [] else
    build.alert(n.ELEVATED_ERROR_RATE, {
      expr: told(t.error_ratio(s.longWindow), '>', n.LIMIT_WARNING_ERROR),
      hold_for: config.warning.holdFor,
      severity: 'warning',
      action: 'none',
      summary: 'Canary {{ $labels.canary }} answers {{ $value | humanizePercentage }} of its requests with errors',
      description: 'Of ' + requests(s.longWindow) + ' to {{ $labels.canary }}, {{ $value | humanizePercentage }} ended in a server error; people are notified above '
                   + build.limit(n.LIMIT_WARNING_ERROR) + '. ' + stable(t.error_ratio(s.longWindow)),
    })
    + (if !t.by_endpoint then [] else build.alert(n.ELEVATED_ERROR_RATE, {
         expr: p.lines([
           p.beyond(t.of_endpoints(read(t.error_ratio(s.longWindow, true))), '>', limit(n.LIMIT_WARNING_ERROR)),
           'and on (rollout, endpoint)',
           p.block(p.beyond(t.of_endpoints(read(t.requests(s.longWindow, true))), '>=', limit(n.LIMIT_MINIMUM_REQUESTS))),
           'and on (rollout)',
           series.rollout.settled,
         ]),
         hold_for: config.warning.holdFor,
         severity: 'warning',
         action: 'none',
         labels: { [n.SCOPE]: 'endpoint' },
         summary: 'Canary {{ $labels.canary }} answers {{ $value | humanizePercentage }} of the requests to {{ $labels.endpoint }} with errors',
         description: '{{ $value | humanizePercentage }} of the requests to {{ $labels.endpoint }} of {{ $labels.canary }} ended in a server error within '
                      + s.longWindow + '; people are notified above ' + build.limit(n.LIMIT_WARNING_ERROR) + ', counted over at least '
                      + build.limit(n.LIMIT_MINIMUM_REQUESTS, formats.count) + ' requests.',
       }))
    + (if t.failed_tries == null then [] else build.alert(n.ELEVATED_ERROR_RATE, {
         expr: told(t.failed_tries, '>', n.LIMIT_WARNING_ERROR),
         hold_for: config.warning.holdFor,
         severity: 'warning',
         action: 'none',
         labels: { [n.SCOPE]: 'tries' },
         summary: 'HAProxy fails {{ $value | humanizePercentage }} as often to get an answer from canary {{ $labels.canary }} as it gets requests',
         description: 'Over ' + requests(s.longWindow) + ' to {{ $labels.canary }}, HAProxy failed to connect, or got no whole answer, {{ $value | humanizePercentage }} as often, each try counted; people are notified above '
                      + build.limit(n.LIMIT_WARNING_ERROR) + '. Customers may have been answered by another server. '
                      + stable(t.failed_tries),
       }))
    + build.alert(n.SLOW_RESPONSE, {
      expr: told(t.p95(s.longWindow), '>=', n.LIMIT_WARNING_RESPONSE),
      hold_for: config.warning.holdFor,
      severity: 'warning',
      action: 'none',
      summary: 'Canary {{ $labels.canary }} takes {{ $value | humanizeDuration }} to answer',
      description: 'The ' + t.response_time_words + ' of {{ $labels.canary }} is {{ $value | humanizeDuration }}, over '
                   + requests(s.longWindow) + '; people are notified above ' + build.limit(n.LIMIT_WARNING_RESPONSE, 'humanizeDuration') + '. '
                   + stable(t.p95(s.longWindow), 'humanizeDuration'),
    })
    + (if t.queries == null then [] else build.alert(n.SLOW_QUERIES, {
         expr: told(t.queries.p95(s.longWindow), '>=', n.LIMIT_WARNING_QUERY),
         hold_for: config.warning.holdFor,
         severity: 'warning',
         action: 'none',
         summary: "Canary {{ $labels.canary }}'s queries to its database take {{ $value | humanizeDuration }}",
         description: "The 95th percentile of {{ $labels.canary }}'s query time is {{ $value | humanizeDuration }}, over "
                      + requests(s.longWindow) + '; people are notified above ' + build.limit(n.LIMIT_WARNING_QUERY, 'humanizeDuration') + '. '
                      + stable(t.queries.p95(s.longWindow), 'humanizeDuration'),
       }));

  if !config.technical then [] else critical + warning

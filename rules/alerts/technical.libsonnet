// Errors, response times, database connections, memory: the canary's own, by its version.
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local s = config.signals;
  local t = series.technical;
  local m = series.machine;
  local read = series.read;

  // Within the long window only once the rollout is that old: before, it holds what an earlier rollout left behind.
  local old_enough = 'and on ()\n(' + series.rollout.age + ' >= ' + config.signals.longWindowSeconds + ')';
  local enough(window) = 'and on (version)\n(' + read(t.requests(window)) + ' >= ' + s.minimumRequests + ')';
  local either(condition) =
    p.block(condition(s.window)) + '\nor on (version)\n' + p.block(condition(s.longWindow) + '\n' + old_enough);

  local too_many_errors = either(function(window) p.lines([
    read(t.error_ratio(window)),
    'and on (version)',
    '(' + read(t.error_ratio_lower(window)) + ' > ' + config.critical.errorRate + ')',
    enough(window),
  ]));
  local too_slow = either(function(window) p.lines([
    read(t.p95(window)),
    'and on (version)',
    '(' + read(t.p95_lower(window)) + ' >= ' + config.critical.responseTime + ')',
    enough(window),
  ]));
  local connection_failures() = read(t.connections.failures(s.window)) + ' >= ' + config.critical.databaseConnectionFailures;
  local short_of_memory = read(m.memory) + ' > ' + config.critical.memory;

  local of_version(name) = p.own(config, name, ['version=%q']);
  local requests(window) =
    build.shown('round(max(' + of_version(t.requests(window)) + '))', 'humanize', ['canary']) + ' requests within ' + window;
  local stable(name, filter='humanizePercentage') =
    'Stable {{ $labels.stable }}: ' + build.shown('max(' + of_version(name) + ')', filter, ['stable']) + '.';

  // While the rollout runs it rolls back; after promotion, as long as it is watched, people are told.
  local absolute(name, join, condition, spec) =
    build.alert(name, spec { expr: join(series.running, condition), severity: 'critical', action: 'rollback', hold_for: config.critical.holdFor })
    + build.alert(name, spec {
      expr: join(series.promoted, condition),
      severity: 'critical',
      action: 'none',
      hold_for: config.critical.holdFor,
      labels: { [n.STATE]: 'promoted' },
    }, watch=true);

  local critical = if !config.critical.enabled then [] else
    absolute(n.HIGH_ERROR_RATE, p.for_canary, too_many_errors, {
      summary: 'Canary {{ $labels.canary }} answers {{ $value | humanizePercentage }} of its requests with errors',
      description: 'Of ' + requests(s.longWindow) + ' to {{ $labels.canary }}, {{ $value | humanizePercentage }} ended in a server error; the limit is '
                   + build.limit(config.critical.errorRate) + '. ' + stable(t.error_ratio(s.longWindow)),
    })
    + absolute(n.VERY_SLOW_RESPONSE, p.for_canary, too_slow, {
      summary: 'Canary {{ $labels.canary }} takes {{ $value | humanizeDuration }} to answer',
      description: 'The ' + t.response_time_words + ' of {{ $labels.canary }} is {{ $value | humanizeDuration }}, over '
                   + requests(s.longWindow) + '; the limit is ' + build.limit(config.critical.responseTime, 'humanizeDuration') + '. '
                   + stable(t.p95(s.longWindow), 'humanizeDuration'),
    })
    + (if t.connections == null then [] else absolute(n.DATABASE_CONNECTION_FAILURES, p.for_canary, connection_failures(), {
         summary: 'Canary {{ $labels.canary }} cannot connect to its database',
         description: '{{ $labels.canary }} failed {{ $value | humanize }} times to connect to its database within '
                      + s.window + '; the limit is ' + config.critical.databaseConnectionFailures + '.',
       }))
    + (if !m.watched.memory then [] else absolute(n.HIGH_MEMORY, p.for_rollout, short_of_memory, {
         summary: 'Canary {{ $labels.canary }} has {{ $value | humanizePercentage }} of its memory in use',
         description: '{{ $value | humanizePercentage }} of memory is in use where canary {{ $labels.canary }} runs; the limit is '
                      + build.limit(config.critical.memory) + '.',
       }));

  local warning = if !config.warning.enabled then [] else
    build.alert(n.ELEVATED_ERROR_RATE, {
      expr: p.for_canary(series.running, read(t.error_ratio(s.longWindow)) + ' > ' + config.warning.errorRate + '\n' + enough(s.longWindow)),
      hold_for: config.warning.holdFor,
      severity: 'warning',
      action: 'none',
      summary: 'Canary {{ $labels.canary }} answers {{ $value | humanizePercentage }} of its requests with errors',
      description: 'Of ' + requests(s.longWindow) + ' to {{ $labels.canary }}, {{ $value | humanizePercentage }} ended in a server error; people are told above '
                   + build.limit(config.warning.errorRate) + '. ' + stable(t.error_ratio(s.longWindow)),
    })
    + (if !t.by_endpoint then [] else build.alert(n.ELEVATED_ERROR_RATE, {
         expr: p.lines([
           p.block(p.lines([
             read(t.error_ratio(s.longWindow, true)) + ' > ' + config.warning.errorRate,
             'and ' + t.on(true),
             '(' + read(t.requests(s.longWindow, true)) + ' >= ' + s.minimumRequests + ')',
           ])),
           '* on (version) group_left (rollout, stable, canary)',
           series.running,
         ]),
         hold_for: config.warning.holdFor,
         severity: 'warning',
         action: 'none',
         labels: { [n.SCOPE]: 'endpoint' },
         summary: 'Canary {{ $labels.canary }} answers {{ $value | humanizePercentage }} of the requests to {{ $labels.endpoint }} with errors',
         description: '{{ $value | humanizePercentage }} of the requests to {{ $labels.endpoint }} of {{ $labels.canary }} ended in a server error within '
                      + s.longWindow + '; people are told above ' + build.limit(config.warning.errorRate) + ', counted over at least '
                      + s.minimumRequests + ' requests.',
       }))
    + (if t.failed_tries == null then [] else build.alert(n.ELEVATED_ERROR_RATE, {
         expr: p.for_canary(series.running, read(t.failed_tries) + ' > ' + config.warning.errorRate + '\n' + enough(s.longWindow)),
         hold_for: config.warning.holdFor,
         severity: 'warning',
         action: 'none',
         labels: { [n.SCOPE]: 'tries' },
         summary: 'HAProxy fails {{ $value | humanizePercentage }} as often to get an answer from canary {{ $labels.canary }} as it gets requests',
         description: 'Over ' + requests(s.longWindow) + ' to {{ $labels.canary }}, HAProxy failed to connect, or got no whole answer, {{ $value | humanizePercentage }} as often, each try counted; people are told above '
                      + build.limit(config.warning.errorRate) + '. Customers may have been answered by another server. '
                      + stable(t.failed_tries),
       }))
    + build.alert(n.SLOW_RESPONSE, {
      expr: p.for_canary(series.running, read(t.p95(s.longWindow)) + ' >= ' + config.warning.responseTime + '\n' + enough(s.longWindow)),
      hold_for: config.warning.holdFor,
      severity: 'warning',
      action: 'none',
      summary: 'Canary {{ $labels.canary }} takes {{ $value | humanizeDuration }} to answer',
      description: 'The ' + t.response_time_words + ' of {{ $labels.canary }} is {{ $value | humanizeDuration }}, over '
                   + requests(s.longWindow) + '; people are told above ' + build.limit(config.warning.responseTime, 'humanizeDuration') + '. '
                   + stable(t.p95(s.longWindow), 'humanizeDuration'),
    });

  critical + warning

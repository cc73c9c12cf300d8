// A promoted release on its way back to the stable servers: both groups run one version, so that servers are looked at,
// one by one, and versions are not compared. The limits are those at which people are warned: nothing is lost by a step
// that waits.
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local own(metric, matchers=[]) = p.own(config, metric, matchers);
  local s = config.signals;
  local by_server = series.technical.by_server;
  local limit(name) = p.limit(config, name);

  // *expr*, by server, as a value of the rollouts that are being finished.
  local of_servers(expr) = p.lines([
    p.operand(expr),
    '* on (' + by_server.key + ') group_left (' + std.join(', ', by_server.taken) + ')',
    series.finishing,
  ]);
  local with_requests(value, comparison, name) = p.lines([
    p.beyond(of_servers(value), comparison, limit(name)),
    'and on (rollout, server)',
    p.block(p.beyond(of_servers(by_server.requests(s.window, 'all')), '>=', limit(n.LIMIT_MINIMUM_REQUESTS))),
  ]);
  local errors = p.lines([
    p.block(by_server.requests(s.window, 'server')),
    '/',
    '(' + p.operand(by_server.requests(s.window, 'all')) + ' > 0)',
  ]);
  local unhealthy(scope, expr, summary, description) = build.alert(n.SERVER_UNHEALTHY, {
    expr: expr,
    hold_for: config.critical.holdFor,
    severity: 'critical',
    action: 'hold',
    labels: { [n.SCOPE]: scope },
    summary: summary,
    description: description + ' Traffic stays where it is until this is over; `canary finish --back` returns everybody to the servers that served it before.',
  });

  local state(name) = '(max by (rollout) (' + own(n.ROLLOUT_STATE, [p.equals(n.STATE, name)]) + ') == 1)';

  unhealthy(
    'errors',
    with_requests(errors, '>', n.LIMIT_WARNING_ERROR),
    'Server {{ $labels.server }} answers {{ $value | humanizePercentage }} of its requests with errors',
    'While release {{ $labels.canary }} is finished, {{ $value | humanizePercentage }} of the requests to {{ $labels.server }} within '
    + s.window + ' ended in a server error, expected at most ' + build.limit(n.LIMIT_WARNING_ERROR) + '.',
  )
  + unhealthy(
    'response_time',
    with_requests(by_server.response_time(s.window), '>=', n.LIMIT_WARNING_RESPONSE),
    'Server {{ $labels.server }} takes {{ $value | humanizeDuration }} to answer',
    'While release {{ $labels.canary }} is finished, the ' + series.technical.response_time_words + ' of {{ $labels.server }} is {{ $value | humanizeDuration }}, expected less than '
    + build.limit(n.LIMIT_WARNING_RESPONSE, 'humanizeDuration') + ' (' + s.window + ').',
  )
  + build.alert(n.RELEASE_UNFINISHED, {
    expr: p.lines([
      p.beyond('max by (rollout) (' + own(n.ROLLOUT_SINCE_END_SECONDS) + ')', '>', limit(n.LIMIT_REMIND)),
      'and on (rollout)',
      state('promoted'),
    ]),
    severity: 'warning',
    action: 'none',
    labels: { [n.REASON]: 'promoted' },
    summary: 'A release of ' + config.service + ' is promoted and not finished',
    description: 'Rollout {{ $labels.rollout }} was promoted {{ $value | humanizeDuration }} ago, expected to be finished within '
                 + build.limit(n.LIMIT_REMIND, 'humanizeDuration')
                 + ". Everybody is still on the canary's servers, and the stable servers have the version before: deploy the new one there, then run `canary finish`.",
  })
  + build.alert(n.RELEASE_UNFINISHED, {
    expr: p.lines([
      p.block('max by (rollout, cause) (' + own(n.FINISH_FROZEN, [p.differs(n.CAUSE, 'manual')]) + ') == 1'),
      'and on (rollout)',
      state('finishing'),
    ]),
    hold_for: config.missedScrapes,
    severity: 'critical',
    action: 'none',
    labels: { [n.REASON]: 'frozen' },
    summary: 'The finish of a release of ' + config.service + ' is frozen ({{ $labels.cause }})',
    description: 'Rollout {{ $labels.rollout }} is being finished, and its traffic stays where it is: '
                 + build.value(n.TRAFFIC_TARGET_RATIO, matchers=[p.equals(n.ROLE, 'stable')])
                 + ' is back on the stable servers. `canary status` says why; `canary resume` goes on, `canary finish --back` returns everybody.',
  })

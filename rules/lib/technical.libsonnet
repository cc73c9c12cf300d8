// The shop's own series as recorded inputs: counts, error ratios and response times by version.
//
// A ratio alone says little about few requests, and a rule is looked at every few seconds. So beside each ratio stands
// what is proven: Wilson's lower bound of the error ratio, and, for the response time, the lower quantile that bounds
// the 95th percentile of a sample of this size. `confidenceZ` is the policy's alpha, split over a rollout's windows.
local n = import 'names.libsonnet';
local p = import 'promql.libsonnet';

function(config, read) {
  local s = config.signals,
  local rollout = (import 'rollout.libsonnet')(config),
  local haproxy = s.preset == 'haproxy',
  local z = config.confidence.z,
  local known = read(rollout.running) + ' or ' + read(rollout.promoted),

  // HAProxy's backends have roles, not versions; the running rollout says which version has which role.
  local of_role(role, expr) = p.lines([
    expr,
    '* on () group_left (version)',
    'label_replace(max by (' + role + ') (' + known + '), "version", "$1", "' + role + '", "(.+)")',
  ]),
  local of_backends(expr) =
    p.block(of_role('canary', expr(p.equals('proxy', s.canaryBackend))))
    + '\nor\n'
    + p.block(of_role('stable', expr(p.equals('proxy', s.stableBackend)))),

  local metric = if haproxy then 'haproxy_backend_http_responses_total' else s.requests,
  local status = if haproxy then
    { server: p.equals('code', '5xx'), client: p.equals('code', '4xx') }
  else
    { server: p.matches(s.statusLabel, '5..'), client: p.matches(s.statusLabel, '4..') },
  local requests = p.base(metric),
  local duration = if haproxy then 'haproxy_backend_total_time' else s.duration,

  // Requests within the window, by version (and endpoint).
  local increase(window, matchers, endpoint=false) =
    local count(more) = 'increase(' + p.select(metric, [s.selector] + more + matchers) + '[' + window + '])';
    if haproxy then
      of_backends(function(backend) 'sum(' + count([backend]) + ')')
    else
      p.renamed(
        p.renamed(
          'sum by (' + s.versionLabel + (if endpoint then ', ' + s.endpointLabel else '') + ') (' + count([]) + ')',
          s.versionLabel,
          'version',
        ),
        if endpoint then s.endpointLabel else 'endpoint',
        'endpoint',
      ),

  // The same with zeros where requests were counted but none of this kind.
  local increase_or_zero(window, matchers, all, endpoint=false) =
    increase(window, matchers, endpoint)
    + '\nor on (version' + (if endpoint then ', endpoint' else '') + ')\n0 * ' + read(all),

  local ratio(part, all) = p.lines([read(part), '/', '(' + read(all) + ' > 0)']),

  // Wilson's lower bound: (e + z^2/2 - z sqrt(e (n - e) / n + z^2/4)) / (n + z^2).
  local wilson(errors, all) = p.lines([
    '(',
    '  ' + read(errors) + ' + ' + config.confidence.half,
    '  - ' + z + ' * sqrt(',
    '    clamp_min(' + read(errors) + ' * (' + read(all) + ' - ' + read(errors) + ') / (' + read(all) + ' > 0), 0)',
    '    + ' + config.confidence.quarter,
    '  )',
    ')',
    '/ (' + read(all) + ' + ' + config.confidence.square + ')',
  ]),

  local buckets(window, endpoint=false) =
    local by = 'sum by (' + (if s.histograms == 'native' then '' else 'le, ')
               + s.versionLabel + (if endpoint then ', ' + s.endpointLabel else '') + ') ';
    local name = if s.histograms == 'native' then s.duration else s.duration + '_bucket';
    by + '(rate(' + p.select(name, [s.selector]) + '[' + window + ']))',

  local quantile(level, window, endpoint=false) =
    if haproxy then
      of_backends(function(backend) 'max(' + p.select('haproxy_backend_total_time_average_seconds', [s.selector, backend]) + ')')
    else
      p.renamed(
        p.renamed(
          'histogram_quantile(\n  ' + level + ',\n  ' + buckets(window, endpoint) + '\n)', s.versionLabel, 'version'
        ),
        if endpoint then s.endpointLabel else 'endpoint',
        'endpoint',
      ),

  // The share of a sample of n below the 95th percentile spreads by sqrt(0.95 * 0.05 / n).
  local lower_level(window) = 'scalar(clamp_min(0.95 - ' + z + ' * sqrt(0.0475 / max('
                              + read($.requests(window)) + ' and on (version) (' + known + '))), 0.5))',

  requests(window):: 'version:' + requests + ':increase' + window,
  errors(window):: 'version:' + requests + '_errors:increase' + window,
  error_ratio(window):: 'version:' + requests + '_errors_per_' + requests + ':ratio_increase' + window,
  error_ratio_lower(window):: 'version:' + requests + '_errors_per_' + requests + ':ratio_lower_increase' + window,
  p95(window):: if haproxy then 'version:' + duration + '_seconds:mean' else 'version:' + duration + ':p95_rate' + window,
  p95_lower(window):: if haproxy then $.p95(window) else 'version:' + duration + ':p95_lower_rate' + window,

  // Whether response times are a mean of HAProxy's last 1,024 requests instead of a 95th percentile.
  response_time_words:: if haproxy then 'mean response time' else '95th percentile of the response time',

  endpoint_requests(window):: 'version_endpoint:' + requests + ':increase' + window,
  endpoint_errors(window):: 'version_endpoint:' + requests + '_errors:increase' + window,
  endpoint_error_ratio(window):: 'version_endpoint:' + requests + '_errors_per_' + requests + ':ratio_increase' + window,
  by_endpoint:: !haproxy,

  // The canary's series themselves, to notice that they are not there.
  raw_requests:: if haproxy then increase(config.signals.longWindow, []) else
    p.renamed('max by (' + s.versionLabel + ') (' + p.select(metric, [s.selector]) + ')', s.versionLabel, 'version'),
  raw_durations:: if haproxy then quantile('', '') else
    p.renamed(
      'count by (' + s.versionLabel + ') (' + p.select(s.duration + (if s.histograms == 'native' then '' else '_bucket'), [s.selector]) + ')',
      s.versionLabel,
      'version',
    ),

  windows:: std.set([s.window, s.longWindow]),

  exprs:: std.foldl(function(all, part) all + part, [
    {
      [$.requests(window)]: increase(window, []),
      [$.errors(window)]: increase_or_zero(window, [status.server], $.requests(window)),
      [$.error_ratio(window)]: ratio($.errors(window), $.requests(window)),
      [$.error_ratio_lower(window)]: wilson($.errors(window), $.requests(window)),
      [$.p95(window)]: quantile('0.95', window),
    } + (if haproxy then {} else { [$.p95_lower(window)]: quantile(lower_level(window), window) })
    for window in $.windows
  ], if haproxy then {} else {
    [$.endpoint_requests(s.longWindow)]: increase(s.longWindow, [], true),
    [$.endpoint_errors(s.longWindow)]:
      increase_or_zero(s.longWindow, [status.server], $.endpoint_requests(s.longWindow), true),
    [$.endpoint_error_ratio(s.longWindow)]:
      ratio($.endpoint_errors(s.longWindow), $.endpoint_requests(s.longWindow)),
  }),

  // In the order in which each reads only what stands before it.
  order:: std.flattenArrays([
    [$.requests(window), $.errors(window), $.error_ratio(window), $.error_ratio_lower(window)]
    + (if haproxy then [] else [$.p95(window), $.p95_lower(window)])
    for window in $.windows
  ]) + (
    if haproxy then [$.p95('')] else
      [$.endpoint_requests(s.longWindow), $.endpoint_errors(s.longWindow), $.endpoint_error_ratio(s.longWindow)]
  ),

  // For people only: the share of 4xx, and further percentiles, by version and by endpoint.
  for_people:: if haproxy then {
    ['version:' + requests + '_client_errors_per_' + requests + ':ratio_increase' + s.longWindow]:
      p.block(increase(s.longWindow, [status.client])) + '\n/\n(' + p.block(increase(s.longWindow, [])) + ' > 0)',
  } else {
    ['version:' + requests + '_client_errors_per_' + requests + ':ratio_increase' + s.longWindow]:
      p.block(increase(s.longWindow, [status.client])) + '\n/\n(' + increase(s.longWindow, []) + ' > 0)',
    ['version:' + duration + ':p50_rate' + s.longWindow]: quantile('0.5', s.longWindow),
    ['version:' + duration + ':p99_rate' + s.longWindow]: quantile('0.99', s.longWindow),
    ['version_endpoint:' + duration + ':p50_rate' + s.longWindow]: quantile('0.5', s.longWindow, true),
    ['version_endpoint:' + duration + ':p95_rate' + s.longWindow]: quantile('0.95', s.longWindow, true),
    ['version_endpoint:' + duration + ':p99_rate' + s.longWindow]: quantile('0.99', s.longWindow, true),
  },
}

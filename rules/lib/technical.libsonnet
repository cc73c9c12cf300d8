// The shop's own series as recorded inputs: counts, error ratios and response times by version, and by endpoint.
//
// A ratio alone says little about few requests, and a rule is looked at every few seconds. So next to each ratio stands
// what is proven: Wilson's bounds of the error ratio, and, for the response time, the lower quantile that bounds the
// 95th percentile of a sample of this size. z is the plan's alpha, split over a rollout's windows, as the receiver publishes
// it; without a rollout there is none, and nothing is proven.
local p = import 'promql.libsonnet';

function(config, read) {
  local s = config.signals,
  local long = s.longWindow,
  local windows = [rung.window for rung in s.ladder],
  local rollout = (import 'rollout.libsonnet')(config),
  local z = 'scalar(' + read(rollout.confidence) + ')',
  local known = read(rollout.running) + ' or ' + read(rollout.promoted),
  local source =
    if s.preset == 'haproxy' then (import 'haproxy.libsonnet')(config, read, known) else (import 'application.libsonnet')(config),
  local haproxy = !source.by_endpoint,
  local requests = source.requests,
  local level(endpoint) = if endpoint then 'version_endpoint:' else 'version:',

  on(endpoint=false):: 'on (version' + (if endpoint then ', endpoint' else '') + ')',

  // Names of recorded series, of a version or of its endpoints.
  requests(window, endpoint=false):: level(endpoint) + requests + ':increase' + window,
  errors(window, endpoint=false):: level(endpoint) + requests + '_errors:increase' + window,
  error_ratio(window, endpoint=false):: level(endpoint) + requests + '_errors_per_' + requests + ':ratio_increase' + window,
  error_ratio_lower(window, endpoint=false):: level(endpoint) + requests + '_errors_per_' + requests + ':ratio_lower_increase' + window,
  error_ratio_upper(window, endpoint=false):: level(endpoint) + requests + '_errors_per_' + requests + ':ratio_upper_increase' + window,
  p95(window, endpoint=false):: level(endpoint) + source.response_time(window),
  p95_lower(window, endpoint=false):: level(endpoint) + source.response_time_lower(window, endpoint),

  by_endpoint:: source.by_endpoint,
  by_server:: source.by_server,
  response_time_words:: source.response_time_words,
  raw_requests:: source.raw_requests,
  raw_durations:: source.raw_durations,
  connections:: source.connections,
  queries:: source.queries,
  failed_tries:: source.failed_tries,
  servers:: source.servers,

  // A series of stable's, recorded under the canary's version and rollout, so that both can be compared.
  stable(name)::
    local parts = std.splitLimit(name, ':', 1);
    parts[0] + ':stable_' + parts[1],
  // A series of the canary's, of several endpoints perhaps, with the labels of its rollout.
  of_endpoints(expr):: expr + '\n* on (version) group_left (rollout, stable, canary)\n' + read(rollout.running),
  // Which rollouts a series of stable's is there for, whatever it says.
  known_of_stable(expr):: p.operand(expr) + '\n* on (version) group_left (rollout)\nlabel_replace(' + read(rollout.running)
                          + ', "version", "$1", "stable", "(.+)")',
  of_stable(expr):: p.lines([
    'label_replace(',
    '  ' + std.strReplace(p.operand(expr), '\n', '\n  '),
    '  * on (version) group_left (rollout, canary)',
    '  label_replace(' + read(rollout.running) + ', "version", "$1", "stable", "(.+)"),',
    '  "version", "$1", "canary", "(.+)"',
    ')',
  ]),

  // Errors, with zeros where requests were counted but no error.
  local errors(window, endpoint) =
    source.increase(window, 'server', endpoint) + '\nor ' + $.on(endpoint) + '\n0 * ' + read($.requests(window, endpoint)),

  local ratio(part, all) = p.lines([read(part), '/', '(' + read(all) + ' > 0)']),

  // Wilson's bounds: (e + z^2/2 -+ z sqrt(e (n - e) / n + z^2/4)) / (n + z^2).
  local wilson(sign, errors, all) = p.lines([
    '(',
    '  ' + read(errors) + ' + ' + z + ' ^ 2 / 2',
    '  ' + sign + ' ' + z + ' * sqrt(',
    '    clamp_min(' + read(errors) + ' * (' + read(all) + ' - ' + read(errors) + ') / (' + read(all) + ' > 0), 0)',
    '    + ' + z + ' ^ 2 / 4',
    '  )',
    ')',
    '/ (' + read(all) + ' + ' + z + ' ^ 2)',
  ]),

  // The share of a sample of n below the 95th percentile spreads by sqrt(0.95 * 0.05 / n). Below the median nothing is
  // looked at: that is reached by a handful of requests only, which `minimum_requests` keeps out anyway.
  // Without a rollout nothing is proven, and the lowest of the sample is what response times surely are not below.
  local lower_level(window) = 'scalar((clamp_min(0.95 - ' + z + ' * sqrt(0.0475 / max('
                              + read($.requests(window)) + ' and on (version) (' + known + '))), 0.5) > 0) or vector(0))',

  // Pairs of a record's name and its expression, in the order in which each reads only what stands before it.
  local counts(window, endpoint=false) = [
    [$.requests(window, endpoint), source.increase(window, 'all', endpoint)],
    [$.errors(window, endpoint), errors(window, endpoint)],
    [$.error_ratio(window, endpoint), ratio($.errors(window, endpoint), $.requests(window, endpoint))],
    [$.error_ratio_lower(window, endpoint), wilson('-', $.errors(window, endpoint), $.requests(window, endpoint))],
  ],
  local times(window, endpoint=false) =
    if haproxy then [[$.p95(window), source.mean(window)]] else [
      [$.p95(window, endpoint), source.quantile('0.95', window, endpoint)],
      // A quantile has one level for all endpoints, so it is the one that suits `quantile_minimum_requests`.
      [$.p95_lower(window, endpoint), source.quantile(if endpoint then '0.9' else lower_level(window), window, endpoint)],
    ],
  // What only comparisons with stable ask for.
  local compared(endpoint=false) = if !config.againstStable.enabled then [] else [
    [$.error_ratio_upper(long, endpoint), wilson('+', $.errors(long, endpoint), $.requests(long, endpoint))],
  ] + [
    [$.stable(name(long, endpoint)), $.of_stable(read(name(long, endpoint)))]
    for name in [$.requests, $.error_ratio, $.error_ratio_upper, $.p95]
  ],
  local by_version = std.flattenArrays([counts(window) + times(window) for window in windows]) + compared(),
  local by_endpoint = if source.by_endpoint then counts(long, true) + times(long, true) + compared(true) else [],
  local connections = if $.connections == null then [] else
    [[$.connections.failures(window), $.connections.increase(window)] for window in windows],
  local tries = if $.failed_tries == null then [] else
    [[$.failed_tries, p.lines([p.block(source.tries), '/ on (version)', '(' + read($.requests(long)) + ' > 0)'])]],
  local queries = if $.queries == null then [] else [
    [$.queries.p95(window), $.queries.quantile('0.95', window)]
    for window in (if s.queriesRollBack then std.set([s.window, long]) else [long])
  ] + [
    [$.queries.p90(window), $.queries.quantile('0.9', window)]
    for window in (if s.queriesRollBack then std.set([s.window, long]) else [])
  ],
  local recorded = source.recorded + by_version + by_endpoint + connections + queries + tries,

  exprs:: { [pair[0]]: pair[1] for pair in recorded },
  order:: [pair[0] for pair in recorded],

  // For people only: the share of 4xx, and further percentiles, by version and by endpoint.
  for_people:: {
    [level(endpoint) + requests + '_client_errors_per_' + requests + ':ratio_increase' + long]:
      p.block(source.increase(long, 'client', endpoint)) + '\n/\n(' + p.operand(source.increase(long, 'all', endpoint)) + ' > 0)'
    for endpoint in (if source.by_endpoint then [false, true] else [false])
  } + source.for_people(long),
}

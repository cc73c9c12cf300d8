// The application's own counters and histogram as the source of technical signals, by version and endpoint.
local p = import 'promql.libsonnet';

function(config) {
  local s = config.signals,
  local native = s.histograms == 'native',
  local buckets_of(histogram) = if native then histogram else histogram + '_bucket',
  local buckets = buckets_of(s.duration),
  local status = { all: '', server: p.matches(s.statusLabel, '5..'), client: p.matches(s.statusLabel, '4..') },

  local by(labels, endpoint) =
    'sum by (' + std.join(', ', labels + [s.versionLabel] + (if endpoint then [s.endpointLabel] else [])) + ') ',
  // The shop's names of labels become ours.
  local renamed(expr, endpoint=false) =
    local versions = p.renamed(expr, s.versionLabel, 'version');
    if endpoint then p.renamed(versions, s.endpointLabel, 'endpoint') else versions,

  by_endpoint:: true,
  recorded:: [],
  requests:: p.base(s.requests),

  // Requests within the window that ended in a status of this kind: all, server (5xx) or client (4xx).
  increase(window, kind, endpoint=false)::
    renamed(by([], endpoint) + '(increase(' + p.select(s.requests, [s.selector, status[kind]]) + '[' + window + ']))', endpoint),

  response_time_words:: '95th percentile of the response time',
  // Recorded as such: the 95th percentile, and what it surely is not below; see technical.libsonnet.
  response_time(window):: s.duration + ':p95_rate' + window,
  response_time_lower(window, endpoint=false):: s.duration + (if endpoint then ':p90_rate' else ':p95_lower_rate') + window,

  quantile(level, window, endpoint=false, histogram=s.duration):: renamed(
    'histogram_quantile(\n  ' + level + ',\n  ' + by(if native then [] else ['le'], endpoint)
    + '(rate(' + p.select(buckets_of(histogram), [s.selector]) + '[' + window + ']))\n)',
    endpoint,
  ),
  // Further percentiles, that people read and no alert does.
  for_people(window):: {
    [level + s.duration + ':' + percentile[0] + '_rate' + window]: $.quantile(percentile[1], window, level != 'version:')
    for level in ['version:', 'version_endpoint:']
    for percentile in [['p50', '0.5'], ['p99', '0.99']]
  },

  // The series themselves, to notice that they are not there.
  raw_requests:: renamed('max by (' + s.versionLabel + ') (' + p.select(s.requests, [s.selector]) + ')'),
  raw_durations:: renamed('count by (' + s.versionLabel + ') (' + p.select(buckets, [s.selector]) + ')'),

  connections:: if s.connectionErrors == '' then null else {
    local selected = p.select(s.connectionErrors, [s.selector]),
    failures(window):: 'version:' + p.base(s.connectionErrors) + ':increase' + window,
    increase(window):: renamed('sum by (' + s.versionLabel + ') (increase(' + selected + '[' + window + ']))'),
    raw:: renamed('max by (' + s.versionLabel + ') (' + selected + ')'),
  },

  // How long queries to the database take; null where the shop does not measure it.
  queries:: if s.queryDuration == '' then null else {
    p95(window):: 'version:' + s.queryDuration + ':p95_rate' + window,
    // What the 95th percentile surely is not below, when there are `quantile_minimum_requests`.
    p90(window):: 'version:' + s.queryDuration + ':p90_rate' + window,
    quantile(level, window):: $.quantile(level, window, histogram=s.queryDuration),
    raw:: renamed('count by (' + s.versionLabel + ') (' + p.select(buckets_of(s.queryDuration), [s.selector]) + ')'),
  },

  // By server, which is the scraped `instance`, and version; the rollout is known by the version.
  by_server:: {
    local by(labels) = 'sum by (' + std.join(', ', labels + ['server', s.versionLabel]) + ') ',
    local server(expr) = 'label_replace(' + expr + ', "server", "$1", "instance", "(.+)")',
    key:: 'version',
    taken:: ['service', 'rollout', 'stable', 'canary'],
    requests(window, kind)::
      local counted(kind) = renamed(
        by([]) + '(' + server('increase(' + p.select(s.requests, [s.selector, status[kind]]) + '[' + window + '])') + ')'
      );
      if kind == 'all' then counted('all')
      else counted(kind) + '\nor on (version, server)\n0 * ' + p.operand(counted('all')),
    // Named last: label_replace() of Prometheus 2 loses native histograms.
    response_time(window):: renamed(
      'max by (server, ' + s.versionLabel + ') (' + server(
        'histogram_quantile(\n  0.95,\n  sum by (' + std.join(', ', (if native then [] else ['le']) + ['instance', s.versionLabel])
        + ') (rate(' + p.select(buckets, [s.selector]) + '[' + window + ']))\n)'
      ) + ')'
    ),
  },

  failed_tries:: null,
  servers:: null,
}

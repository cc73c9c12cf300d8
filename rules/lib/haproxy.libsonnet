// HAProxy's built-in exporter as the source of technical signals, by backend: for a shop without instrumentation.
local p = import 'promql.libsonnet';

// *known*: the rollouts that tell which version is behind which backend.
function(config, read, known) {
  local s = config.signals,
  local literally(text) = std.strReplace(text, '.', '[.]'),
  local both = p.matches('proxy', literally(s.canaryBackend) + '|' + literally(s.stableBackend)),
  local selected(metric, more='') = p.select(metric, [s.selector, both, more]),
  local code = { all: '', server: p.equals('code', '5xx'), client: p.equals('code', '4xx') },

  // Backends have roles, not versions; the rollout says which version has which role.
  local versions = 'proxy_version:canary_rollout_info:known',
  local of_role(role, backend) =
    'label_replace(label_replace(' + known + ', "version", "$1", "' + role + '", "(.+)"), "proxy", "' + backend + '", "", "")',
  local by_version(expr) = p.lines([
    'sum without (proxy) (',
    '  ' + std.strReplace(expr, '\n', '\n  '),
    '  * on (proxy) group_left (version)',
    '  ' + read(versions),
    ')',
  ]),

  // What the counters of *metrics* grew by within the window, together.
  local increases(metrics, window, more='') =
    local sums = ['sum by (proxy) (increase(' + selected(metric, more) + '[' + window + ']))' for metric in metrics];
    by_version(if std.length(sums) == 1 then sums[0] else p.block(std.join('\n+\n', sums))),

  // HAProxy's averages fade with the requests, 512 to a factor of e, and never with time: after a quiet night they still
  // hold the slow answers of a canary that is long gone. How far the average has moved since the window's begin, and
  // how many requests moved it, give the mean of those requests alone. Of its first 512 requests HAProxy's versions
  // make averages in several ways, none of which is too high; they are taken as they are.
  local mean(average, window) =
    local now = selected(average);
    local requests = selected('haproxy_backend_http_requests_total');
    local lately = '(increase(' + requests + '[' + window + ']) > 0)';
    by_version(p.lines([
      'max by (proxy) (',
      '  ' + now + ' + (' + now + ' - ' + now + ' offset ' + window + ') / (exp(' + lately + ' / 512) - 1)',
      '  and',
      '  (max without () (' + requests + ') - ' + lately + ' >= 512)',
      '  or',
      '  ' + now,
      ')',
    ])),

  local response_time = 'haproxy_backend_response_time_average_seconds',

  by_endpoint:: false,
  requests:: 'haproxy_backend_http_responses',

  // `[name, expression]` of what the others read.
  recorded:: [[versions, p.lines([
    'max by (proxy, version) (',
    '  ' + of_role('canary', s.canaryBackend),
    '  or',
    '  ' + of_role('stable', s.stableBackend),
    ')',
  ])]],

  increase(window, kind, endpoint=false):: increases(['haproxy_backend_http_responses_total'], window, code[kind]),

  response_time_words:: 'mean response time',
  // HAProxy knows no percentiles; its mean is as good as proven when there are enough requests.
  response_time(window):: 'haproxy_backend_response_time_seconds:mean' + window,
  response_time_lower(window, endpoint=false):: $.response_time(window),
  mean(window):: mean(response_time, window),

  // The series themselves, to notice that they are not there.
  raw_requests:: $.increase(s.longWindow, 'all'),
  raw_durations:: by_version('max by (proxy) (' + selected(response_time) + ')'),

  // By server of the stable backend, as HAProxy names it; the rollout is known by the service.
  by_server:: {
    local selected(metric, more='') = p.select(metric, [s.selector, p.equals('proxy', s.stableBackend), more]),
    key:: 'service',
    taken:: ['rollout', 'stable', 'canary', 'version'],
    requests(window, kind)::
      p.of_service(config, 'sum by (server) (increase(' + selected('haproxy_server_http_responses_total', code[kind]) + '[' + window + ']))'),
    response_time(window)::
      p.of_service(config, 'max by (server) (' + selected('haproxy_server_response_time_average_seconds') + ')'),
  },

  connections:: null,
  queries:: null,

  // Tries that failed: connections, answers that broke off, and what was tried again, here or at another server.
  // Whether the customer was answered in the end, the share of 5xx knows; of an answer that broke off it does not.
  failed_tries:: 'version:haproxy_backend_failed_tries_per_' + $.requests + ':ratio_increase' + s.longWindow,
  tries:: increases([
    'haproxy_backend_' + kind + '_total'
    for kind in ['connection_errors', 'response_errors', 'retry_warnings', 'redispatch_warnings']
  ], s.longWindow),

  // Spare servers answer for a canary that has none left, and what is counted as the canary's is theirs.
  servers:: 'min(' + p.select('haproxy_backend_active_servers', [s.selector, p.equals('proxy', s.canaryBackend)]) + ')',

  for_people(window):: {
    ['version:haproxy_backend_queue_time_seconds:mean' + window]: mean('haproxy_backend_queue_time_average_seconds', window),
  },
}

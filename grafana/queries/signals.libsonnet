// The technical signals of stable and canary: the shop's own series, or HAProxy's by backend.
local query = import '../lib/query.libsonnet';
local variants = import '../lib/variants.libsonnet';

// s: where the series are, as `config.signals` has it.
local queries(config, s) =
  local select = (import '../lib/select.libsonnet')(config);
  local haproxy = s.preset == 'haproxy';
  local roles = ['stable', 'canary'];
  local requests = if haproxy then 'haproxy_backend_http_responses_total' else s.requests;
  local failed = if haproxy then 'code="5xx"' else s.statusLabel + '=~"5.."';
  local of(role) =
    if haproxy then 'proxy="' + s[role + 'Backend'] + '"' else s.versionLabel + '="$' + role + '"';
  local legend(role) = role + ' $' + role;
  local rate(role, more=[], metric=requests) =
    'rate(' + select.metric(metric, [s.selector, of(role)] + more) + '[$__rate_interval])';
  local both(expr) = [query.range(expr(role), legend(role), role) for role in roles];
  local ratio(by, role, more) =
    'sum' + by + ' (' + rate(role, more) + ')\n/\n(sum' + by + ' (' + rate(role) + ') > 0)';
  local quantile(level, role, histogram=s.duration) =
    if haproxy then 'max(' + select.metric('haproxy_backend_response_time_average_seconds', [s.selector, of(role)]) + ')'
    else if s.histograms == 'native' then 'histogram_quantile(' + level + ', sum (' + rate(role, [], histogram) + '))'
    else 'histogram_quantile(' + level + ', sum by (le) (' + rate(role, [], histogram + '_bucket') + '))';

  {
    requests:: both(function(role) 'sum(' + rate(role) + ')'),
    share:: query.range(
      'sum(' + rate('canary') + ')\n/\n(sum(' + rate('canary') + ') + sum(' + rate('stable') + ') > 0)',
      'seen in requests',
      'seen'
    ),
    // No failed request yet means no such series: then the ratio is nought.
    errors:: both(function(role) '(' + ratio('', role, [failed]) + ')\nor\n0 * sum(' + rate(role) + ')'),
    errorsByEndpoint:: if haproxy then null else query.range(
      '(' + ratio(' by (' + s.endpointLabel + ')', 'canary', [failed]) + ')\nor\n0 * sum by (' + s.endpointLabel + ') (' + rate('canary') + ')',
      '{{' + s.endpointLabel + '}}'
    ),
    // HAProxy tells a mean, which stands in for the 95th percentile alone.
    quantile(level):: if haproxy && level != '0.95' then null else both(function(role) quantile(level, role)),
    quantileByEndpoint(level):: if haproxy then null else query.range(
      'histogram_quantile(' + level + ', sum by (' + (if s.histograms == 'native' then '' else 'le, ') + s.endpointLabel + ') ('
      + rate('canary', [], s.duration + (if s.histograms == 'native' then '' else '_bucket')) + '))',
      '{{' + s.endpointLabel + '}}'
    ),
    queryTime:: if s.queryDuration == '' then null else both(function(role) quantile('0.95', role, s.queryDuration)),
    connectionErrors:: if s.connectionErrors == '' then null else [
      query.range(
        'sum(increase(' + select.metric(s.connectionErrors, [s.selector, s.versionLabel + '="$' + role + '"'])
        + '[$__rate_interval]))', legend(role), role
      )
      for role in roles
    ],
  };

function(config)
  local variant = variants(config, function(s) queries(config, s));
  {
    requests:: variant.each(function(made) made.requests),
    share:: variant.one(function(made) made.share),
    errors:: variant.each(function(made) made.errors),
    errorsByEndpoint:: variant.one(function(made) made.errorsByEndpoint),
    quantile(level):: variant.each(function(made) made.quantile(level)),
    quantileByEndpoint(level):: variant.one(function(made) made.quantileByEndpoint(level)),
    // Empty where no service measures them.
    queryTime::
      local measuring = [s for s in [config.signals] + std.get(config, 'others', []) if s.queryDuration != ''];
      if measuring == [] then [] else variant.each(function(made) made.queryTime),
    // Empty where no service counts them.
    connectionErrors::
      local counting = [s for s in [config.signals] + std.get(config, 'others', []) if s.connectionErrors != ''];
      if counting == [] then [] else variant.each(function(made) made.connectionErrors),
  }

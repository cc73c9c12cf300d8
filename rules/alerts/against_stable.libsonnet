// The canary against stable, at the same time and endpoint: much worse is worth knowing, however far from the limits.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local limits = config.againstStable;
  local s = config.signals;
  local t = series.technical;

  // Much worse: the canary's value by a factor and by a difference; and surely worse: *lower* of it above *upper* of
  // stable's. *minimum* requests of either side.
  local worse(endpoint, value, lower, upper, factor, difference, minimum) =
    local same = 'on (rollout' + (if endpoint then ', endpoint' else '') + ')';
    local canary(recorded) = t.of_endpoints(series.read(recorded(s.longWindow, endpoint)));
    local stable(recorded) = series.read(t.stable(recorded(s.longWindow, endpoint)));
    local limited(operator, name) =
      p.block(stable(value) + '\n' + operator + ' on (rollout) group_left ()\n' + p.limit(config, name));
    local conditions = [
      canary(value) + '\n> ' + same + '\n' + limited('*', factor),
      canary(value) + '\n> ' + same + '\n' + limited('+', difference),
      canary(lower) + '\n> ' + same + '\n' + stable(upper),
      p.beyond(canary(t.requests), '>=', p.limit(config, minimum.canary)),
      p.beyond(stable(t.requests), '>=', p.limit(config, minimum.stable)),
    ];
    std.join('\nand ' + same + '\n', [canary(value)] + [p.block(one) for one in conditions])
    + '\nand on (rollout)\n' + series.rollout.settled;

  local compared(endpoint) =
    local labels = if endpoint then ['endpoint'] else [];
    local at = if endpoint then ' at {{ $labels.endpoint }}' else '';
    local value(recorded, side, filter) = build.shown(
      'max(' + p.own(config, recorded(s.longWindow, endpoint), [label + '=%q' for label in ['version'] + labels]) + ')',
      filter,
      [side] + labels,
    );
    local requests(side) = value(t.requests, side, formats.count) + ' requests';
    local warning(name, spec) = build.alert(name, spec {
      hold_for: limits.holdFor,
      severity: 'warning',
      action: 'none',
      labels: if endpoint then { [n.SCOPE]: 'endpoint' } else {},
    });

    warning(n.ERROR_RATE_DEGRADED, {
      expr: worse(
        endpoint,
        t.error_ratio,
        t.error_ratio_lower,
        t.error_ratio_upper,
        n.LIMIT_STABLE_ERROR_FACTOR,
        n.LIMIT_STABLE_ERROR_DIFFERENCE,
        { canary: n.LIMIT_MINIMUM_REQUESTS, stable: n.LIMIT_MINIMUM_REQUESTS },
      ),
      summary: 'Canary {{ $labels.canary }} answers {{ $value | humanizePercentage }} of its requests' + at + ' with errors, many more than stable',
      description: 'Within ' + s.longWindow + ', {{ $value | humanizePercentage }} of ' + requests('canary') + ' to {{ $labels.canary }}' + at
                   + ' ended in a server error, of ' + requests('stable') + ' to stable {{ $labels.stable }} '
                   + value(t.error_ratio, 'stable', 'humanizePercentage') + '. It is proven to be more; people are notified from '
                   + build.limit(n.LIMIT_STABLE_ERROR_FACTOR, formats.factor) + ' times as many on, when that is at least '
                   + build.limit(n.LIMIT_STABLE_ERROR_DIFFERENCE) + ' more.',
    })
    + warning(n.RESPONSE_TIME_DEGRADED, {
      expr: worse(
        endpoint,
        t.p95,
        t.p95_lower,
        t.p95,
        n.LIMIT_STABLE_RESPONSE_FACTOR,
        n.LIMIT_STABLE_RESPONSE_DIFFERENCE,
        {
          // Only the quantiles of a whole version are made for its number of requests.
          canary: if endpoint || !t.by_endpoint then n.LIMIT_QUANTILE_REQUESTS else n.LIMIT_MINIMUM_REQUESTS,
          stable: n.LIMIT_QUANTILE_REQUESTS,
        },
      ),
      summary: 'Canary {{ $labels.canary }} takes {{ $value | humanizeDuration }} to answer' + at + ', much longer than stable',
      description: 'Within ' + s.longWindow + ', the ' + t.response_time_words + ' of {{ $labels.canary }}' + at
                   + ' is {{ $value | humanizeDuration }}, over ' + requests('canary') + '; of stable {{ $labels.stable }} '
                   + value(t.p95, 'stable', 'humanizeDuration') + ', over ' + requests('stable')
                   + '. People are notified from ' + build.limit(n.LIMIT_STABLE_RESPONSE_FACTOR, formats.factor) + ' times as long on, when that is at least '
                   + build.limit(n.LIMIT_STABLE_RESPONSE_DIFFERENCE, 'humanizeDuration') + ' longer.',
    });

  if !config.technical || !limits.enabled then [] else compared(false) + (if t.by_endpoint then compared(true) else [])

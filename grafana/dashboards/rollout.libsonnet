// The page on the wall: is the canary fine, and if not, why?
local colours = import '../lib/colours.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local layout = import '../lib/layout.libsonnet';
local links = import '../lib/links.libsonnet';
local panels = import '../lib/panels.libsonnet';
local words = import '../lib/words.libsonnet';
local verdicts = import 'verdicts.libsonnet';

local noRollout = 'No rollout has run in this time range';
local noReceiver = "The receiver does not report: see the dashboard on the guard's own health";

{
  local config = $._config,
  local rollout = (import '../queries/rollout.libsonnet')(config),
  local kpis = (import '../queries/kpis.libsonnet')(config),
  local signals = (import '../queries/signals.libsonnet')(config),
  local s = config.signals,
  local l = config.limits,

  local now = [
    panels.stat({
      title: 'The canary',
      description: 'The worst that is known: harm that is proven or an alert that rolls back, a hold, missing data; otherwise whether every KPI is proven to be within its tolerance, or no harm has been seen so far.',
      empty: noReceiver,
      size: [6, 4],
      queries: [rollout.canary],
      mappings: words.canary,
    }),
    panels.stat({
      title: 'Asked for a rollback',
      description: 'The alerts of this rollout that asked for a rollback in this time range. Empty after a rollback means that a person, or the missing heartbeat, was behind it.',
      empty: 'No alert',
      size: [5, 4],
      queries: [rollout.cause],
      unit: 'none',
      text: 'name',
      color: { mode: 'fixed', fixedColor: colours.bad },
      paint: 'value',
    }),
    panels.stat({
      title: 'Versions',
      description: 'Which version is being judged, and which one it is to follow.',
      empty: noRollout,
      size: [3, 4],
      queries: [rollout.versions],
      unit: 'none',
      text: 'name',
      color: { mode: 'fixed', fixedColor: 'text' },
      paint: 'value',
    }),
    panels.stat({
      title: 'State',
      description: 'Where the rollout stands in its journal.',
      empty: noReceiver,
      size: [3, 4],
      queries: [rollout.state],
      mappings: words.states(config.states),
    }),
    panels.stat({
      title: 'Phase',
      description: "The current phase of the rollout's own plan, counted from one.",
      empty: 'No rollout runs',
      size: [3, 4],
      queries: [rollout.phase],
      unit: 'none',
      color: { mode: 'fixed', fixedColor: 'text' },
      paint: 'value',
    }),
    panels.stat({
      title: 'Time left',
      description: 'How long the phase lasts at least. At nought it ends as soon as no alert holds it.',
      empty: 'No rollout runs',
      size: [2, 4],
      queries: [rollout.timeLeft],
      unit: 'dtdhms',
      color: { mode: 'fixed', fixedColor: 'text' },
      paint: 'value',
    }),
    panels.stat({
      title: 'Share',
      description: "The canary's traffic weight as read back from the router, not as it was asked for.",
      empty: noRollout,
      size: [2, 4],
      queries: [rollout.trafficNow],
      unit: 'percentunit',
      decimals: 0,
      color: { mode: 'fixed', fixedColor: colours.canary },
      paint: 'value',
    }),
    verdicts.panel(config, kpis, { empty: noRollout }),
    panels.timeseries({
      title: 'Traffic on the canary',
      description: 'The share that was asked for, what the router has in force, and what is seen in the requests. The three should lie on each other.',
      empty: noRollout,
      size: [8, 8],
      queries: rollout.traffic + [signals.share],
      unit: 'percentunit',
      min: 0,
      max: 1,
      interpolation: 'stepAfter',
    }),
    panels.timeline({
      title: 'Alerts over time',
      description: 'Every alert of this service that was pending or fired, and what it does. The heartbeat is left out: it always fires.',
      empty: 'No alert was pending or fired in this time range',
      size: [11, 8],
      queries: [rollout.alerts],
      mappings: words.alerts,
    }),
    panels.alerts({
      title: 'Firing now',
      description: "Grafana's own list of this service's alerts. It needs a Prometheus data source that manages alerts.",
      empty: 'No alert fires',
      size: [5, 8],
      filter: '{service="$service", alertname!="' + config.watchdog + '"}',
    }),
  ],

  local findings = panels.timeline({
    title: 'Behind the verdicts',
    description: 'Why what looks like harm only holds, and more: both versions fail alike, the canary is slower and loses nothing, its share of the customers does not match its traffic weight, too few rows name a version.',
    empty: 'Nothing is found behind the verdicts',
    size: [24, 7],
    queries: [kpis.findings],
    mappings: words.noFound,
  }),

  local bands = [
    panels.timeseries({
      title: kpi.title + ': change against stable',
      description: 'Estimate and bounds of the relative change, true at every moment at once; they narrow as customers come. Beyond ' + kpi.tolerance + ' in the bad direction (' + kpi.worse + ') is harm. What lies beyond ' + kpi.cutText + ' is cut off, for reading.' + kpi.note,
      empty: 'No evidence yet: the rollout has not begun, or the KPI has too few units',
      size: [8, 7],
      queries: kpis.band(kpi),
      unit: 'percentunit',
      softMin: -kpi.shown,
      softMax: kpi.shown,
      links: [links.to('Business', config.uids.business)],
    })
    for kpi in config.kpis
    if kpi.judged
  ],

  local segments = [
    one
    for kpi in config.kpis
    if kpi.segmented
    for one in [
      panels.timeseries({
        title: kpi.title + ': proof of harm by segment',
        description: 'How near the evidence is to its threshold in each part of the customers; at 100% harm to this part is proven.',
        empty: 'No evidence yet: the rollout has not begun, or its customers name no segment',
        size: [12, 7],
        queries: [kpis.segmentProof(kpi)],
        unit: 'percentunit',
        min: 0,
        max: 1,
        limits: [panels.limit(1, colours.bad)],
      }),
      panels.timeseries({
        title: kpi.title + ': change against stable by segment',
        description: "Each part's estimate, without its band; small parts jump. What lies beyond " + kpi.cutText + ' is cut off, for reading.',
        empty: 'No evidence yet: the rollout has not begun, or its customers name no segment',
        size: [12, 7],
        queries: [kpis.segmentChange(kpi)],
        unit: 'percentunit',
        softMin: -kpi.shown,
        softMax: kpi.shown,
      }),
    ]
  ],

  // HAProxy's series tell neither endpoints nor percentiles apart.
  local haproxy = s.preset == 'haproxy',
  local byEndpoint(title, description, query, unit, size) = if haproxy then [] else [
    panels.timeseries({
      title: title,
      description: description,
      empty: 'No requests reach the canary',
      size: size,
      queries: [query],
      unit: unit,
    }),
  ],

  local technical = [
    panels.timeseries({
      title: 'Error rate by version',
      description: 'Share of requests answered 5xx. The canary rolls back above ' + l.critical_error_ratio.text + ' and warns above ' + l.warning_error_ratio.text + '.',
      empty: 'No requests: is the shop scraped, and do its series carry the version?',
      size: [8, 7],
      queries: signals.errors,
      unit: 'percentunit',
      limits: [
        panels.limit(l.warning_error_ratio.value, colours.canary),
        panels.limit(l.critical_error_ratio.value, colours.bad),
      ],
      softMax: l.critical_error_ratio.value,
    }),
  ] + byEndpoint(
    "Canary's error rate by endpoint", "Where the canary's failed requests are.", signals.errorsByEndpoint, 'percentunit', [8, 7]
  ) + [
    panels.timeseries({
      title: 'Requests per second by version',
      description: 'How many requests each version answers.',
      empty: 'No requests: is the shop scraped, and do its series carry the version?',
      size: [8, 7],
      queries: signals.requests,
      unit: 'reqps',
    }),
  ] + [
    panels.timeseries({
      title: 'Response time, ' + level[0] + ', by version',
      description: (if haproxy then "Mean of HAProxy's last 1,024 requests, which has no percentiles. " else level[1])
                   + ' The canary rolls back when the 95th percentile is above ' + l.critical_response_seconds.text + ' and warns above ' + l.warning_response_seconds.text + '.',
      empty: 'No requests: is the shop scraped, and do its series carry the version?',
      size: [8, 7],
      queries: signals.quantile(level[2]),
      unit: 's',
      limits: [
        panels.limit(l.normal_response_seconds.value, colours.caution),
        panels.limit(l.warning_response_seconds.value, colours.canary),
        panels.limit(l.critical_response_seconds.value, colours.bad),
      ],
    })
    for level in [
      ['p50', 'Half of the requests are answered faster than this.', '0.5'],
      ['p95', 'Nineteen of twenty requests are answered faster than this.', '0.95'],
      ['p99', 'All but one of a hundred requests are answered faster than this.', '0.99'],
    ]
    if !haproxy || level[0] == 'p95'
  ] + std.flatMap(
    function(level) byEndpoint(
      "Canary's response time, " + level[0] + ', by endpoint', level[1], signals.quantileByEndpoint(level[2]), 's', [8, 7]
    ),
    [
      ['p50', 'Where half of the requests to the canary are slow.', '0.5'],
      ['p95', 'Where the canary is slow: its limits are held against this percentile of all endpoints together.', '0.95'],
      ['p99', 'Where one request in a hundred to the canary is slow.', '0.99'],
    ]
  ),

  grafanaDashboards+:: {
    'canary-rollout.json': dashboard(config, {
      key: 'rollout',
      title: 'Canary / Rollout',
      description: 'The page on the wall: where the rollout stands, whether the canary is fine, and why.',
      from: 'now-1h',
      sections: [
        layout.section(null, now),
        layout.section('Is it harm, or noise? Each KPI against stable', bands + [findings]),
        if segments == [] then [] else layout.section('Which part of the customers', segments),
        layout.section('Errors and response times', technical),
      ],
    }),
  },
}

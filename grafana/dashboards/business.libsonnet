// What the shop sells: stable, canary, and the day before.
local dashboard = import '../lib/dashboard.libsonnet';
local layout = import '../lib/layout.libsonnet';
local panels = import '../lib/panels.libsonnet';

local dayBefore = 'Dashed: a day earlier at the same time, when there is history.';
local noRows = "Nothing was counted in this time range: see the dashboard on the guard's own health";

{
  local config = $._config,
  local shop = (import '../queries/shop.libsonnet')(config),
  local kpis = (import '../queries/kpis.libsonnet')(config),

  local totals = [
    panels.stat({
      title: counter.title + ' in this time range',
      description: 'All versions together, and the same span a day earlier.',
      empty: noRows,
      size: [6, 4],
      queries: shop.countedTotal(counter),
      unit: 'short',
      color: { mode: 'fixed', fixedColor: 'text' },
      paint: 'value',
      text: 'value_and_name',
    })
    for counter in config.counters
    if counter.headline
  ] + (if config.revenue then [
         panels.stat({
           title: 'Revenue in this time range',
           description: 'By currency, all versions together, and the same span a day earlier.',
           empty: noRows,
           size: [6, 4],
           queries: shop.revenueTotal,
           unit: 'short',
           color: { mode: 'fixed', fixedColor: 'text' },
           paint: 'value',
           text: 'value_and_name',
         }),
       ] else []),

  local counted = [
    panels.timeseries({
      title: counter.title + ' per minute',
      description: 'As counted in the order database, by version. ' + dayBefore,
      empty: noRows,
      size: [8, 7],
      queries: shop.counted(counter),
      unit: 'short',
    })
    for counter in config.counters
  ] + (if config.revenue then [
         panels.timeseries({
           title: 'Revenue per minute',
           description: 'By currency and version. ' + dayBefore,
           empty: noRows,
           size: [8, 7],
           queries: shop.revenue,
           unit: 'short',
         }),
       ] else []),

  local trends = [
    panels.timeseries({
      title: kpi.title,
      description: "Each version's units of the trailing " + config.window + ". To see whether a difference means anything, look at the evidence on the rollout's dashboard. " + dayBefore,
      empty: 'No units of this KPI in the trailing ' + config.window + ', or the order database cannot be read',
      size: [8, 7],
      queries: kpis.trend(kpi),
      unit: kpi.unit,
      decimals: kpi.decimals,
      softMin: null,
    })
    for kpi in config.kpis
  ],

  local drift = [
    panels.timeseries({
      title: 'What the last releases add up to',
      description: 'The relative changes of the last releases that all customers have got, together, with their band and the budget (`evidence.drift`). Ten that each cost 3% pass one by one, and cost 26% together.',
      empty: 'No release that all customers have got has a report with a band',
      size: [24, 8],
      queries: kpis.drift,
      unit: 'percentunit',
      softMin: null,
      points: 'always',
    }),
  ],

  grafanaDashboards+:: {
    'canary-business.json': dashboard(config, {
      key: 'business',
      title: 'Canary / Business',
      description: 'Orders, revenue, visitors and every KPI by version, next to the day before.',
      from: 'now-3h',
      sections: [
        layout.section('In this time range', totals),
        layout.section('KPIs by version', trends),
        layout.section('Drift', drift),
        layout.section('Counted by version', counted),
      ],
    }),
  },
}

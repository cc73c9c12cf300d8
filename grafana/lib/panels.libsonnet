// One constructor per kind of panel. Each takes an object with what differs:
//   title, description, empty (why it may have no data), size [columns, rows], queries,
//   and where it fits unit, decimals, min, max, mappings, limits.
local colours = import 'colours.libsonnet';

local datasource = { type: 'prometheus', uid: '${datasource}' };

local fixed(colour) = { id: 'color', value: { mode: 'fixed', fixedColor: colour } };
local property(id, value) = { id: id, value: value };
local dashed(dash) = property('custom.lineStyle', { fill: 'dash', dash: dash });

// How the lines of each role look, on every panel.
local looks = {
  stable: [fixed(colours.stable)],
  canary: [fixed(colours.canary), property('custom.lineWidth', 2)],
  wanted: [fixed(colours.neutral), dashed([6, 4]), property('custom.fillOpacity', 0)],
  seen: [fixed(colours.undecided), dashed([2, 3]), property('custom.fillOpacity', 0)],
  before: [fixed(colours.neutral), dashed([2, 4]), property('custom.fillOpacity', 0)],
  limit: [fixed(colours.bad), dashed([8, 4]), property('custom.fillOpacity', 0), property('custom.lineWidth', 1)],
  bound: [fixed(colours.canary), property('custom.lineWidth', 0)],
  band: [
    fixed(colours.canary),
    property('custom.lineWidth', 0),
    property('custom.fillOpacity', 20),
    property('custom.fillBelowTo', 'lower bound'),
  ],
};

// Targets are named by letters; each role's look follows the letter.
local letter(i) = std.char(std.codepoint('A') + i);
local targets(queries) = std.mapWithIndex(function(i, query) query { refId: letter(i) }, queries);
local overrides(queries) = [
  { matcher: { id: 'byFrameRefID', options: letter(i) }, properties: looks[queries[i].role] }
  for i in std.range(0, std.length(queries) - 1)
  if queries[i].role != null
];

local steps(limits) = {
  mode: 'absolute',
  // One of several services that differ in it has no value, and no line.
  steps: [{ color: colours.good, value: null }] + [limit for limit in limits if limit.value != null],
};

local panel(type, spec) = {
  type: type,
  title: spec.title,
  description: spec.description,
  datasource: datasource,
  size:: spec.size,
  links: std.get(spec, 'links', []),
  targets: targets(spec.queries),
  fieldConfig: {
    defaults: {
      noValue: spec.empty,
      mappings: std.get(spec, 'mappings', []),
      thresholds: steps(std.get(spec, 'limits', [])),
    } + {
      [key]: spec[key]
      for key in ['unit', 'decimals', 'min', 'max', 'color', 'displayName']
      if std.objectHas(spec, key)
    },
    overrides: std.get(spec, 'overrides', []),
  },
};

{
  // Where a value turns from good to something else.
  limit(value, colour): { value: value, color: colour },

  // The axis begins at nought unless softMin says otherwise; null lets it fit the data.
  timeseries(given):
    local spec = { color: { mode: 'palette-classic' }, softMin: 0 } + given;
    panel('timeseries', spec) {
      fieldConfig+: {
        defaults+: {
          custom: {
            drawStyle: std.get(spec, 'draw', 'line'),
            lineInterpolation: std.get(spec, 'interpolation', 'linear'),
            lineWidth: 1,
            fillOpacity: std.get(spec, 'fill', 0),
            showPoints: std.get(spec, 'points', 'never'),
            pointSize: 6,
            spanNulls: false,
            axisLabel: std.get(spec, 'axis', ''),
            stacking: { mode: 'none', group: 'A' },
            thresholdsStyle: { mode: if std.objectHas(spec, 'limits') then 'dashed' else 'off' },
          } + {
            [pair[1]]: spec[pair[0]]
            for pair in [['softMin', 'axisSoftMin'], ['softMax', 'axisSoftMax']]
            if std.get(spec, pair[0]) != null
          },
        },
        overrides: overrides(spec.queries) + std.get(spec, 'overrides', []),
      },
      options: {
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
        tooltip: { mode: 'multi', sort: 'none' },
      },
    },

  // A big number, or a word for it through `mappings`.
  stat(spec): panel('stat', { color: { mode: 'thresholds' } } + spec) {
    options: {
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      colorMode: std.get(spec, 'paint', 'background'),
      graphMode: std.get(spec, 'graph', 'none'),
      justifyMode: 'center',
      orientation: 'auto',
      textMode: std.get(spec, 'text', 'auto'),
      wideLayout: true,
      showPercentChange: false,
    },
    fieldConfig+: { overrides: overrides(spec.queries) + std.get(spec, 'overrides', []) },
  },

  // `columns` is a list of {name, query, ...properties of the column}; rows are joined by what the queries share.
  table(spec): panel('table', { color: { mode: 'fixed', fixedColor: 'text' } } + spec) {
    fieldConfig+: { defaults+: { custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: false } } },
    options: {
      showHeader: true,
      cellHeight: 'md',
      footer: { show: false, reducer: ['sum'], countRows: false },
      sortBy: std.get(spec, 'sortBy', []),
    },
    transformations: spec.transformations,
  },

  timeline(spec): panel('state-timeline', { color: { mode: 'thresholds' } } + spec) {
    fieldConfig+: { defaults+: { custom: { fillOpacity: 85, lineWidth: 0 } } },
    options: {
      mergeValues: true,
      showValue: 'auto',
      alignValue: 'left',
      rowHeight: 0.85,
      legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
      tooltip: { mode: 'single', sort: 'none' },
    },
  },

  // Grafana's own list of what fires now; it reads alerts through the data source, not by a query.
  alerts(spec): {
    type: 'alertlist',
    title: spec.title,
    description: spec.description,
    datasource: datasource,
    size:: spec.size,
    links: [],
    fieldConfig: { defaults: { noValue: spec.empty }, overrides: [] },
    options: {
      alertInstanceLabelFilter: spec.filter,
      alertName: '',
      dashboardAlerts: false,
      datasource: '${datasource}',
      groupBy: [],
      groupMode: 'default',
      maxItems: 20,
      sortOrder: 3,
      stateFilter: { firing: true, pending: true, noData: false, normal: false, 'error': true },
      viewMode: 'list',
    },
  },

  text(spec): {
    type: 'text',
    title: spec.title,
    description: spec.description,
    size:: spec.size,
    links: [],
    options: { mode: 'markdown', content: spec.content },
    fieldConfig: { defaults: {}, overrides: [] },
  },
}

// The table with one row per KPI: what is known, how sure it is, and what follows from harm.
local colours = import '../lib/colours.libsonnet';
local links = import '../lib/links.libsonnet';
local panels = import '../lib/panels.libsonnet';
local words = import '../lib/words.libsonnet';

local painted = { type: 'color-background', mode: 'basic', applyToRow: false };
local gauge = { type: 'gauge', mode: 'basic', valueDisplayMode: 'text' };
local property(id, value) = { id: id, value: value };
local change = [property('unit', 'percentunit'), property('decimals', 1), property('custom.width', 105)];
local count = [property('unit', 'short'), property('decimals', 0), property('custom.width', 115)];
local plain(decimals) = [property('unit', 'none'), property('decimals', decimals), property('custom.width', 95)];

// Columns in their order: [title, query's name or the label it comes from, properties].
local columns(config) = [
  ['KPI', 'kpi', [property('mappings', words.kpis(config.kpis)), property('custom.width', 210)]],
  ['Verdict', 'verdict', [
    property('mappings', words.verdicts),
    property('custom.cellOptions', painted),
    property('custom.width', 190),
  ]],
  ['Proof of being worse', 'proof', [
    property('unit', 'percentunit'),
    property('decimals', 0),
    property('min', 0),
    property('max', 1),
    property('custom.cellOptions', gauge),
    property('thresholds', { mode: 'absolute', steps: [
      { color: colours.neutral, value: null },
      { color: colours.canary, value: 1 },
    ] }),
    property('color', { mode: 'thresholds' }),
    property('custom.width', 190),
  ]],
  ['Stable', 'stable', plain(2)],
  ['Canary', 'canary', plain(2)],
  ['Unit', 'unit', [property('custom.width', 60)]],
  ['Change', 'change', change],
  ['Lower bound', 'lower', change],
  ['Upper bound', 'upper', change],
  ['Tolerated', 'tolerance', change],
  ['Stable units', 'stableUnits', count],
  ['Canary units', 'canaryUnits', count],
  ['Evidence', 'evidence', plain(2)],
  ['Threshold', 'threshold', plain(2)],
  ['On harm', 'action', []],
];
local labels = ['kpi', 'verdict', 'unit', 'action'];

{
  panel(config, kpis, spec)::
    local wanted = columns(config);
    local queries = [column for column in wanted if !std.member(labels, column[1])];
    local letters = {
      [queries[i][1]]: std.char(std.codepoint('B') + i)
      for i in std.range(0, std.length(queries) - 1)
    };
    local field(column) = if std.member(labels, column[1]) then column[1] else 'Value #' + letters[column[1]];
    panels.table({
      title: 'Verdict by KPI',
      description: 'What the orders say about each KPI. At a proof of 100% the canary is worse beyond doubt. When it is worse by more than is tolerated, that is harm, and what the last column names follows. Evidence and threshold are powers of ten. Shares are in percent. Stable and canary are plain values, in which customers who came a moment ago have not bought yet; the change compares customers of the same age. When the rollout is over, the last that was known stays.',
      empty: spec.empty,
      size: [24, std.max(5, std.length(config.kpis) + 3)],
      // By the alphabet blind, fail, hold and pass come as people need them.
      sortBy: [{ displayName: 'Verdict', desc: false }],
      queries: [kpis.verdict] + [kpis[column[1]] for column in queries],
      transformations: [
        { id: 'merge', options: {} },
        { id: 'organize', options: {
          excludeByName: { Time: true, 'Value #A': true },
          indexByName: { [field(wanted[i])]: i for i in std.range(0, std.length(wanted) - 1) },
          renameByName: { [field(column)]: column[0] for column in wanted },
        } },
      ],
      overrides: [
        { matcher: { id: 'byName', options: column[0] }, properties: column[2] }
        for column in wanted
        if column[2] != []
      ],
      links: [links.to('Business', config.uids.business)],
    }),
}

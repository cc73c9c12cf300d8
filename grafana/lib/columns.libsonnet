// Tables with one row per thing that is judged: how columns look, and how queries become columns.
local colours = import 'colours.libsonnet';
local panels = import 'panels.libsonnet';
local words = import 'words.libsonnet';

local property(id, value) = { id: id, value: value };
local width(pixels) = property('custom.width', pixels);
local painted(mappings) = [
  property('mappings', mappings),
  property('custom.cellOptions', { type: 'color-background', mode: 'basic', applyToRow: false }),
  width(190),
];

local letter(i) = std.char(std.codepoint('A') + i);

{
  // A column from a label of the first query.
  label(title, label, properties=[]):: { title: title, label: label, properties: properties },
  // A column from the values of a query.
  value(title, query, properties):: { title: title, query: query, properties: properties },

  name(pixels, mappings=[]):: [width(pixels)] + (if mappings == [] then [] else [property('mappings', mappings)]),
  verdict:: painted(words.verdicts),
  yesNo:: painted(words.upDown),
  change:: [property('unit', 'percentunit'), property('decimals', 1), width(105)],
  count:: [property('unit', 'short'), property('decimals', 0), width(115)],
  plain:: [property('unit', 'none'), property('decimals', 2), width(95)],
  gauge:: [
    property('unit', 'percentunit'),
    property('decimals', 0),
    property('min', 0),
    property('max', 1),
    property('custom.cellOptions', { type: 'gauge', mode: 'basic', valueDisplayMode: 'text' }),
    property('thresholds', { mode: 'absolute', steps: [
      { color: colours.neutral, value: null },
      { color: colours.canary, value: 1 },
    ] }),
    property('color', { mode: 'thresholds' }),
    width(190),
  ],

  // A table panel: the first query names the rows, the others are joined to it by the labels that all share.
  table(spec, rows, columns)::
    local queried = [column for column in columns if std.objectHas(column, 'query')];
    local letters = { [queried[i].title]: letter(i + 1) for i in std.range(0, std.length(queried) - 1) };
    local field(column) =
      if std.objectHas(column, 'label') then column.label else 'Value #' + letters[column.title];
    panels.table(spec {
      queries: [rows] + [column.query for column in queried],
      transformations: [
        { id: 'merge', options: {} },
        { id: 'organize', options: {
          excludeByName: { Time: true, 'Value #A': true },
          indexByName: { [field(columns[i])]: i for i in std.range(0, std.length(columns) - 1) },
          renameByName: { [field(column)]: column.title for column in columns },
        } },
      ],
      overrides: [
        { matcher: { id: 'byName', options: column.title }, properties: column.properties }
        for column in columns
        if column.properties != []
      ],
    }),
}

// What all dashboards have in common. `spec` gives key, title, description, from and sections.
local layout = import 'layout.libsonnet';
local links = import 'links.libsonnet';

function(config, spec) {
  uid: config.uids[spec.key],
  title: spec.title,
  description: spec.description,
  tags: config.tags,
  // Generated: changes belong into the policy.
  editable: false,
  schemaVersion: 39,
  version: 1,
  timezone: 'browser',
  weekStart: '',
  fiscalYearStartMonth: 0,
  liveNow: false,
  graphTooltip: 1,
  refresh: config.refresh,
  time: { from: spec.from, to: 'now' },
  timepicker: {},
  links: links.dashboards(config.tags),
  templating: { list: (import '../variables.libsonnet')(config) },
  annotations: { list: (import '../annotations.libsonnet')(config) },
  // A graph has no use for steps shorter than a scrape.
  panels: [
    if std.objectHas(panel, 'targets') then panel { interval: config.interval } else panel
    for panel in layout.place(spec.sections)
  ],
}

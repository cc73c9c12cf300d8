// What all dashboards have in common. `spec` gives key, title, description, from and sections.
local layout = import 'layout.libsonnet';
local links = import 'links.libsonnet';

function(config, spec)
  // $__rate_interval is four steps or more. With this one rates cover at least the window that the rules use, so that
  // graphs are as calm as what alerts.
  local paced(target) = target {
    interval: if std.strReplace(target.expr, '$__rate_interval', '') != target.expr then config.rateStep else config.step,
  };
  {
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
    panels: [
      if std.objectHas(panel, 'targets') then panel { targets: std.map(paced, super.targets) } else panel
      for panel in layout.place(spec.sections)
    ],
  }

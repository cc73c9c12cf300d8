// Experiments: is a treatment better or worse than its control, and is it sure?
local colours = import '../lib/colours.libsonnet';
local c = import '../lib/columns.libsonnet';
local dashboard = import '../lib/dashboard.libsonnet';
local layout = import '../lib/layout.libsonnet';
local panels = import '../lib/panels.libsonnet';
local words = import '../lib/words.libsonnet';

local empty = 'No experiment has begun';

{
  local config = $._config,
  local experiments = (import '../queries/experiments.libsonnet')(config),
  local count = std.length(config.experiments),
  // The more treatments share the chance of a false alarm, the higher is the limit of each.
  local thresholds = std.set([experiment.mismatchThreshold.value for experiment in config.experiments]),
  local limits = std.join(', ', ['%s %.2g' % [e.name, e.mismatchThreshold.value] for e in config.experiments]),

  local now = [
    c.table({
      title: 'Verdict by treatment and KPI',
      description: 'Every treatment against its control. At a proof of 100% it is worse beyond doubt; proven better is said in its own column. Harm of a guardrail stops the experiment; a winner is announced and never shipped by itself. Shares are in percent.',
      empty: empty,
      size: [24, std.max(6, 2 * count + 6)],
      sortBy: [{ displayName: 'Verdict', desc: false }],
    }, experiments.verdict, [
      c.label('Experiment', 'experiment', c.name(150)),
      c.label('Treatment', 'variant', c.name(130)),
      c.label('KPI', 'kpi', c.name(200, words.kpis(config.kpis))),
      c.label('Verdict', 'verdict', c.verdict),
      c.value('Proof of being worse', experiments.proof, c.gauge),
      c.value('Proven better', experiments.better, c.name(110, words.noYes)),
      c.value('Control', experiments.control, c.plain),
      c.value('Treatment value', experiments.treatment, c.plain),
      c.value('Change', experiments.change, c.change),
      c.value('Lower bound', experiments.lower, c.change),
      c.value('Upper bound', experiments.upper, c.change),
      c.value('Control units', experiments.controlUnits, c.count),
      c.value('Treatment units', experiments.treatmentUnits, c.count),
      c.value('Guardrail', experiments.guardrail, c.name(90, words.noYes)),
    ]),
    panels.stat({
      title: 'Users are assigned',
      description: 'Whether users still get each treatment; no once a guardrail or a person stopped the experiment.',
      empty: empty,
      size: [10, 7],
      queries: [experiments.running],
      mappings: words.upDown,
      text: 'value_and_name',
    }),
    panels.timeseries({
      title: 'Doubt about the split',
      description: "Evidence, as a power of ten, that a treatment's share of the visits does not match its weight (sample ratio mismatch). From the limit on, the comparison is not to be trusted: " + limits + '.',
      empty: empty,
      size: [14, 7],
      queries: [experiments.mismatch],
      unit: 'none',
      limits: [panels.limit(threshold, colours.bad) for threshold in thresholds],
      softMax: std.floor(std.foldl(std.max, thresholds, 0)) + 1,  // so that the limit is in sight
    }),
  ],

  local bands = [
    panels.timeseries({
      title: experiment.name + ', ' + variant + ': ' + kpi.title,
      description: 'Estimate and bounds of the relative change against the control, true at every moment at once. Once the band leaves nought on one side, the difference is proven.',
      empty: empty,
      size: [8, 7],
      queries: experiments.band(experiment.name, variant, kpi),
      unit: 'percentunit',
      softMin: -kpi.shown,
      softMax: kpi.shown,
    })
    for experiment in config.experiments
    for variant in experiment.treatments
    for kpi in config.kpis
    if std.member(experiment.kpis, kpi.name)
  ],

  grafanaDashboards+:: if config.experiments == [] then {} else {
    'canary-experiments.json': dashboard(config, {
      key: 'experiments',
      title: 'Canary / Experiments',
      description: 'Every treatment of every experiment against its control.',
      from: 'now-7d',
      sections: [
        layout.section(null, now),
        layout.section('Each KPI against the control', bands),
      ],
    }),
  },
}

// The table with one row per KPI: what is known, how sure it is, and what follows from harm.
local c = import '../lib/columns.libsonnet';
local links = import '../lib/links.libsonnet';
local words = import '../lib/words.libsonnet';

{
  panel(config, kpis, spec):: c.table(spec {
    title: 'Verdict by KPI',
    description: 'What the orders say about each KPI. At a proof of 100% the canary is worse beyond doubt. When it is worse by more than is tolerated, that is harm, and what the last column names follows. Evidence and threshold are powers of ten. Shares are in percent. Stable and canary are plain values, in which customers who came a moment ago have not bought yet; the change compares customers of the same age. When the rollout is over, the last that was known stays.',
    size: [24, std.max(5, std.length(config.kpis) + 3)],
    // By the alphabet blind, fail, hold and pass come as people need them.
    sortBy: [{ displayName: 'Verdict', desc: false }],
    links: [links.to('Business', config.uids.business)],
  }, kpis.verdict, [
    c.label('KPI', 'kpi', c.name(210, words.kpis(config.kpis))),
    c.label('Verdict', 'verdict', c.verdict),
    c.value('Proof of being worse', kpis.proof, c.gauge),
    c.value('Stable', kpis.stable, c.plain),
    c.value('Canary', kpis.canary, c.plain),
    c.label('Unit', 'unit', c.name(60)),
    c.value('Change', kpis.change, c.change),
    c.value('Lower bound', kpis.lower, c.change),
    c.value('Upper bound', kpis.upper, c.change),
    c.value('Tolerated', kpis.tolerance, c.change),
    c.value('Stable units', kpis.stableUnits, c.count),
    c.value('Canary units', kpis.canaryUnits, c.count),
    c.value('Evidence', kpis.evidence, c.plain),
    c.value('Threshold', kpis.threshold, c.plain),
    c.label('On harm', 'action'),
  ]),
}

// Business harm: what the exporter's evidence has proven, or, where the policy asks for it, the strategy's windowed rule.
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local judged(metric, kpi, more=[]) = p.own(config, metric, [p.equals(n.KPI, kpi.name)] + more);
  local tiers = {
    rollback: { severity: 'critical', action: 'rollback' },
    hold: { severity: 'warning', action: 'hold' },
    warn: { severity: 'warning', action: 'none' },
  };
  local value(kpi, role) = build.shown('max(' + judged(n.KPI_VALUE, kpi, [p.equals(n.ROLE, role)]) + ')', kpi.filter);
  local units(kpi, role) =
    build.shown('max(' + judged(n.KPI_UNITS, kpi, [p.equals(n.ROLE, role)]) + ')', 'humanize');
  local compared(kpi) =
    'Canary {{ $labels.canary }}: ' + value(kpi, 'canary') + ' of ' + units(kpi, 'canary') + ' units; stable {{ $labels.stable }}: '
    + value(kpi, 'stable') + ' of ' + units(kpi, 'stable') + '.';

  // Nothing but the floor's evidence may have made the verdict, so the relative one is compared by itself.
  local harmful(kpi) = p.lines([
    'max(' + judged(n.KPI_EVIDENCE, kpi) + ')',
    '>= max(' + judged(n.KPI_EVIDENCE_THRESHOLD, kpi) + ')',
    'and on ()',
    '(max(' + judged(n.KPI_VERDICT, kpi, [p.equals(n.VERDICT, 'fail')]) + ') == 1)',
  ]);
  local below_floor(kpi) = p.lines([
    'max(' + judged(n.KPI_FLOOR_EVIDENCE, kpi) + ')',
    '>= max(' + judged(n.KPI_EVIDENCE_THRESHOLD, kpi) + ')',
  ]);

  local degraded(kpi) = build.alert(kpi.alert, tiers[kpi.action] {
    expr: p.for_rollout(series.running, harmful(kpi)),
    labels: { [n.KPI]: kpi.name },
    summary: 'Canary {{ $labels.canary }} harms ' + kpi.words,
    description: 'Proven: ' + kpi.words + ' is worse than stable by more than the tolerance of '
                 + build.limit(kpi.tolerance) + ' (change '
                 + build.shown('max(' + judged(n.KPI_RELATIVE_CHANGE, kpi) + ')') + '). ' + compared(kpi)
                 + ' The evidence is 10^{{ $value | humanize }}, the limit 10^'
                 + build.shown('max(' + judged(n.KPI_EVIDENCE_THRESHOLD, kpi) + ')', 'humanize') + '.',
  });

  local low(kpi) =
    local spec = tiers[kpi.action] {
      labels: { [n.KPI]: kpi.name },
      summary: 'Canary {{ $labels.canary }}: ' + kpi.words + ' is below ' + build.limit(kpi.floor, kpi.filter),
      description: 'Proven: ' + kpi.words + ' of {{ $labels.canary }} is below the floor of '
                   + build.limit(kpi.floor, kpi.filter) + '. ' + compared(kpi)
                   + ' The evidence is 10^{{ $value | humanize }}, the limit 10^'
                   + build.shown('max(' + judged(n.KPI_EVIDENCE_THRESHOLD, kpi) + ')', 'humanize') + '.',
    };
    build.alert(kpi.floorAlert, spec { expr: p.for_rollout(series.running, below_floor(kpi)), labels+: kpi.floorLabels })
    + build.alert(kpi.floorAlert, spec {
      expr: p.for_rollout(series.promoted, below_floor(kpi)),
      action: 'none',
      labels+: kpi.floorLabels { [n.STATE]: 'promoted' },
    }, watch=true);

  // The strategy's own rule: rates of counters over a window, compared at once.
  local rate(kpi) =
    local per_version(event, more=[]) =
      'sum by (version) (rate(' + p.own(config, event, more) + '[' + config.signals.longWindow + ']))';
    if kpi.kind == 'conversion' then
      local converted = per_version(kpi.converted) + ' / (' + per_version(kpi.entered) + ' > 0)';
      if kpi.complement then '1 - ' + converted else converted
    else if kpi.kind == 'success' then
      per_version(kpi.entered, [p.equals(n.OUTCOME, 'succeeded')]) + ' / (' + per_version(kpi.entered) + ' > 0)'
    else 'avg by (version) (' + p.own(config, kpi.gauge) + ')';
  local of_role(kpi, role) = p.lines([
    'sum(',
    '  ' + std.strReplace(rate(kpi), '\n', '\n  '),
    '  and on (version)',
    '  label_replace(' + series.running + ', "version", "$1", "' + role + '", "(.+)")',
    ')',
  ]);
  local change(kpi) = p.lines([
    p.block(of_role(kpi, 'canary') + '\n-\n' + of_role(kpi, 'stable')),
    '/ (' + of_role(kpi, 'stable') + ' > 0)',
    if kpi.upward then '< -' + kpi.tolerance else '> ' + kpi.tolerance,
  ]);
  local windowed(kpi) = build.alert(kpi.alert, tiers[kpi.action] {
    expr: p.for_rollout(series.running, change(kpi)),
    hold_for: '2m',
    labels: { [n.KPI]: kpi.name },
    summary: 'Canary {{ $labels.canary }}: ' + kpi.words + ' differs from stable by {{ $value | humanizePercentage }}',
    description: 'Within ' + config.signals.longWindow + ', ' + kpi.words + ' of {{ $labels.canary }} differed by {{ $value | humanizePercentage }} from {{ $labels.stable }}; the tolerance is '
                 + build.limit(kpi.tolerance) + '. This KPI is judged by a windowed threshold, not by evidence.',
  }) + (if kpi.floor == '' then [] else build.alert(kpi.floorAlert, tiers[kpi.action] {
          expr: p.for_rollout(series.running, of_role(kpi, 'canary') + (if kpi.upward then ' < ' else ' > ') + kpi.floor),
          hold_for: '2m',
          labels: { [n.KPI]: kpi.name } + kpi.floorLabels,
          summary: 'Canary {{ $labels.canary }}: ' + kpi.words + ' is {{ $value | ' + kpi.filter + ' }}',
          description: 'Within ' + config.signals.longWindow + ', ' + kpi.words + ' of {{ $labels.canary }} was {{ $value | ' + kpi.filter + ' }}; the floor is '
                       + build.limit(kpi.floor, kpi.filter) + '. This KPI is judged by a windowed threshold, not by evidence.',
        }));

  std.flattenArrays([
    if kpi.judge == 'threshold' then windowed(kpi)
    else degraded(kpi) + (if kpi.floorJudged then low(kpi) else [])
    for kpi in config.kpis
  ])

// Business harm: what the exporter's evidence has proven, or, where the policy asks for it, the strategy's windowed rule.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local judged(metric, kpi, more=[]) = p.own(config, metric, [p.equals(n.KPI, kpi.name)] + more);
  local tiers = {
    rollback: { severity: 'critical', action: 'rollback' },
    hold: { severity: 'warning', action: 'hold' },
    warn: { severity: 'warning', action: 'none' },
  };
  local told(metric, kpi, filter, more=[]) = build.value(metric, filter, [p.equals(n.KPI, kpi.name)] + more);
  local value(kpi, role) = told(n.KPI_VALUE, kpi, formats.of_kpi(kpi), [p.equals(n.ROLE, role)]);
  local units(kpi, role) = told(n.KPI_UNITS, kpi, formats.count, [p.equals(n.ROLE, role)]);
  local tolerance(kpi) = build.limit(n.LIMIT_KPI_TOLERANCE, kpi=kpi.name);
  local floor(kpi) = build.limit(n.LIMIT_KPI_FLOOR, formats.of_kpi(kpi), kpi.name);
  local compared(kpi) =
    'Canary {{ $labels.canary }}: ' + value(kpi, 'canary') + ' of ' + units(kpi, 'canary') + ' units; stable {{ $labels.stable }}: '
    + value(kpi, 'stable') + ' of ' + units(kpi, 'stable') + '.';

  // Its value stays that of the evidence; that it failed, and by which test, the exporter says: a proof stays a proof.
  local found(kpi, reason) = '(max by (rollout) (' + judged(n.KPI_FINDING, kpi, [p.equals(n.REASON, reason)]) + ') == 1)';
  local proven(kpi, tests) = '(max by (rollout) (' + judged(n.KPI_PROOF, kpi, [tests]) + ') == 1)';
  local harmful(kpi) = p.lines([
    'max by (rollout) (' + judged(n.KPI_EVIDENCE, kpi) + ')',
    'and on (rollout)',
    proven(kpi, p.matches(n.TEST, 'quick|exact')),
  ]);
  local below_floor(kpi) = p.lines([
    'max by (rollout) (' + judged(n.KPI_FLOOR_EVIDENCE, kpi) + ')',
    'and on (rollout)',
    proven(kpi, p.equals(n.TEST, 'floor')),
  ]);

  local degraded(kpi) = build.alert(kpi.alert, tiers[kpi.action] {
    expr: p.for_rollout(series.running, harmful(kpi)),
    labels: { [n.KPI]: kpi.name },
    summary: 'Canary {{ $labels.canary }} harms ' + kpi.words,
    description: 'Proven: ' + kpi.words + ' is worse than stable by more than the tolerance of '
                 + tolerance(kpi) + ' (change '
                 + told(n.KPI_RELATIVE_CHANGE, kpi, 'humanizePercentage') + '). ' + compared(kpi)
                 + ' Quick test: e-value 10^{{ $value | ' + formats.number + ' }}, threshold 10^'
                 + told(n.KPI_EVIDENCE_THRESHOLD, kpi, formats.number) + '.'
                 + build.where(
                   n.KPI_PROOF,
                   [p.equals(n.KPI, kpi.name), p.equals(n.TEST, 'exact')],
                   ' The exact test has proven it.'
                 ),
  });

  // Harm to one part of the customers: the alert's label says which, its value is that part's evidence.
  local in_segment(metric, kpi) = 'max by (rollout, segment) (' + judged(metric, kpi) + ')';
  local segment_value(metric, kpi, filter) = build.shown(
    'max(' + p.own(config, metric, [n.ROLLOUT + '=%q', n.SEGMENT + '=%q', p.equals(n.KPI, kpi.name)]) + ')', filter, [n.ROLLOUT, n.SEGMENT]
  );
  local segment(kpi) = build.alert(kpi.alert, tiers[kpi.action] {
    expr: p.block(p.lines([
      in_segment(n.KPI_SEGMENT_EVIDENCE, kpi),
      'and on (rollout, segment)',
      '(' + in_segment(n.KPI_SEGMENT_PROOF, kpi) + ' == 1)',
    ])) + '\n* on (rollout) group_left (stable, canary, version)\n' + series.running,
    labels: { [n.KPI]: kpi.name, [n.TEST]: 'segment' },
    summary: 'Canary {{ $labels.canary }} harms ' + kpi.words + ' of {{ $labels.segment }}',
    description: 'Proven: ' + kpi.words + ' of {{ $labels.segment }} is worse than stable by more than the tolerance of '
                 + tolerance(kpi) + ' (change ' + segment_value(n.KPI_SEGMENT_CHANGE, kpi, 'humanizePercentage')
                 + '). All customers together: ' + compared(kpi) + ' E-value of the segment 10^{{ $value | ' + formats.number + ' }}, threshold 10^'
                 + told(n.KPI_SEGMENT_THRESHOLD, kpi, formats.number) + '.',
  });

  local low(kpi) =
    local spec = tiers[kpi.action] {
      labels: { [n.KPI]: kpi.name },
      summary: 'Canary {{ $labels.canary }}: ' + kpi.words + ' is below ' + floor(kpi),
      description: 'Proven: ' + kpi.words + ' of {{ $labels.canary }} is below the floor of '
                   + floor(kpi) + '. ' + compared(kpi)
                   + ' The e-value is 10^{{ $value | ' + formats.number + ' }}, the threshold 10^'
                   + told(n.KPI_EVIDENCE_THRESHOLD, kpi, formats.number) + '.',
    };
    build.alert(kpi.floorAlert, spec { expr: p.for_rollout(series.running, below_floor(kpi)), labels+: kpi.floorLabels })
    + build.alert(kpi.floorAlert, spec {
      expr: p.for_rollout(series.promoted, below_floor(kpi)),
      action: 'none',
      labels+: kpi.floorLabels { [n.STATE]: 'promoted' },
    }, watch=true);

  // What looks like harm and only holds, by the reason that the exporter gives.
  local kept = ' Traffic is frozen at its current weight until a person decides or this clears.';
  local everywhere(kpi) = build.alert(n.FAIL_EVERYWHERE, tiers.hold {
    severity: 'critical',
    expr: p.for_rollout(series.running, found(kpi, 'fails_everywhere')),
    labels: { [n.KPI]: kpi.name },
    summary: 'Both versions fail alike: ' + kpi.words + ' of {{ $labels.canary }} and {{ $labels.stable }} is below ' + floor(kpi),
    description: 'Proven on both sides: ' + kpi.words + ' is below the floor of ' + floor(kpi) + ', and no difference between the versions is proven. '
                 + compared(kpi) + ' The cause is most likely outside both, such as the payment provider.' + kept,
  });
  local harmed(kpi) = build.alert(n.STABLE_HARMED, tiers.hold {
    severity: 'critical',
    expr: p.for_rollout(series.running, found(kpi, 'stable_harmed')),
    labels: { [n.KPI]: kpi.name },
    summary: 'Stable {{ $labels.stable }} got worse since the rollout began: ' + kpi.words + ' is ' + told(n.KPI_STABLE_NOW, kpi, formats.of_kpi(kpi)),
    description: 'Proven: ' + kpi.words + ' of stable {{ $labels.stable }} is ' + told(n.KPI_STABLE_NOW, kpi, formats.of_kpi(kpi))
                 + ' since the weight changed, expected what the worst quarter of the time before the start had, '
                 + told(n.KPI_STABLE_BEFORE, kpi, formats.of_kpi(kpi)) + ', less the tolerance of ' + tolerance(kpi)
                 + '. Canary {{ $labels.canary }} may hurt both versions through what they share, such as the database.' + kept,
  });
  local reasons = {
    lags_unknown: 'orders are missing, and how late they usually come is not known: they may only be slower',
    mismatch: 'the canary has more customers than its weight, which explains as much',
    no_unit: 'no column names the customer, so that one customer may look like many',
    not_told_apart: 'below the floor, and not yet told apart from stable',
    sides_differ: "only the exact test has proven it, and rows and the router's hash name two sides for too many customers",
    watch_floor: 'below the floor, where stable has no traffic to compare with',
  };
  local asked(kpi, reason) =
    if std.member(['lags_unknown', 'mismatch'], reason) then kpi.kind == 'conversion'
    else if std.member(['no_unit', 'sides_differ'], reason) then true else kpi.floorJudged;
  local held(kpi, reason) = build.alert(n.KPI_HELD, tiers.hold {
    expr: p.for_rollout(series.running, found(kpi, reason)),
    labels: { [n.KPI]: kpi.name, [n.REASON]: reason },
    summary: kpi.words + ' of canary {{ $labels.canary }} looks worse: held, not rolled back',
    description: kpi.words + ': ' + reasons[reason] + '. ' + compared(kpi) + kept,
  });
  local slower(kpi) = build.alert(n.SLOWER, tiers.warn {
    expr: p.for_rollout(series.running, found(kpi, 'slower')),
    labels: { [n.KPI]: kpi.name },
    summary: 'Canary {{ $labels.canary }} is slower: ' + kpi.words + ' comes later than on stable',
    description: 'Proven: customers of {{ $labels.canary }} convert later than those of {{ $labels.stable }}; that fewer convert is not proven. ' + compared(kpi),
  });
  local kept_by_reason(kpi) = (if kpi.floorJudged then everywhere(kpi) else []) + (if kpi.kind == 'mean' then [] else harmed(kpi)) + std.flattenArrays([
    held(kpi, reason)
    for reason in std.objectFields(reasons)
    if asked(kpi, reason)
  ]);
  local findings(kpi) = (if kpi.action == 'warn' then [] else kept_by_reason(kpi)) + (if kpi.kind == 'conversion' then slower(kpi) else []);

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
  // A version's rate as the value of the rollouts in which it has this role.
  local of_role(kpi, role) =
    local rollouts = if role == 'canary' then series.running
    else 'label_replace(' + series.running + ', "version", "$1", "' + role + '", "(.+)")';
    p.for_canary(rollouts, p.block(rate(kpi)));
  local limit(name, kpi) = p.limit(config, name, kpi.name);
  // The rates of counters over the long window; a mean's gauge is of the exporter's whole window.
  local settled(kpi) = '\nand on (rollout)\n'
                       + (if kpi.kind == 'mean' then series.rollout.older_than(config.kpiWindowSeconds) else series.rollout.settled);
  local change(kpi) = p.beyond(
    p.lines([
      p.block(of_role(kpi, 'canary') + '\n- on (rollout) group_left ()\n' + p.block(of_role(kpi, 'stable'))),
      '/ on (rollout) group_left ()',
      '(' + p.block(of_role(kpi, 'stable')) + ' > 0)',
    ]),
    if kpi.upward then '<' else '>',
    (if kpi.upward then '-' else '') + limit(n.LIMIT_KPI_TOLERANCE, kpi)
  ) + settled(kpi);
  local windowed(kpi) = build.alert(kpi.alert, tiers[kpi.action] {
    expr: change(kpi),
    hold_for: '2m',
    labels: { [n.KPI]: kpi.name },
    summary: 'Canary {{ $labels.canary }}: ' + kpi.words + ' differs from stable by {{ $value | humanizePercentage }}',
    description: 'Within ' + config.signals.longWindow + ', ' + kpi.words + ' of {{ $labels.canary }} differed by {{ $value | humanizePercentage }} from {{ $labels.stable }}; the tolerance is '
                 + tolerance(kpi) + '. This KPI is judged by a windowed threshold, not by evidence.',
  }) + (if !kpi.floor then [] else build.alert(kpi.floorAlert, tiers[kpi.action] {
          expr: p.beyond(of_role(kpi, 'canary'), if kpi.upward then '<' else '>', limit(n.LIMIT_KPI_FLOOR, kpi)) + settled(kpi),
          hold_for: '2m',
          labels: { [n.KPI]: kpi.name } + kpi.floorLabels,
          summary: 'Canary {{ $labels.canary }}: ' + kpi.words + ' is {{ $value | ' + formats.of_kpi(kpi) + ' }}',
          description: 'Within ' + config.signals.longWindow + ', ' + kpi.words + ' of {{ $labels.canary }} was {{ $value | ' + formats.of_kpi(kpi) + ' }}; the floor is '
                       + floor(kpi) + '. This KPI is judged by a windowed threshold, not by evidence.',
        }));

  std.flattenArrays([
    if kpi.judge == 'threshold' then windowed(kpi)
    else degraded(kpi) + (if kpi.segmented then segment(kpi) else []) + (if kpi.floorJudged then low(kpi) else []) + findings(kpi)
    for kpi in config.kpis
  ])

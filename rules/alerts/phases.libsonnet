// Advancing is an alert as well: a phase's time is over, and nothing speaks against the next one.
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local own(metric, matchers=[]) = p.own(config, metric, matchers);
  local judged = [kpi for kpi in config.kpis if kpi.judge == 'evidence' && kpi.action != 'warn'];
  local names = std.join('|', [kpi.name for kpi in judged]);
  local count = std.toString(std.length(judged));

  local in_phase(phase) = p.during(series.running, 'max(' + own(n.ROLLOUT_PHASE) + ') == ' + phase.index);
  local elapsed(comparison) = p.lines([
    'and on ()',
    '(time() - max(' + own(n.ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS) + ') ' + comparison + ')',
  ]);
  local active = p.lines([
    'and on ()',
    '(max(' + own(n.ROLLOUT_STATE, [p.matches(n.STATE, 'phase|baking')]) + ') == 1)',
  ]);

  // All of the KPIs must say so: one that says nothing does not agree.
  local verdicts(verdict) = if judged == [] then [] else [
    'and on ()',
    '(count(max by (kpi) (' + own(n.KPI_VERDICT, [p.matches(n.KPI, names), p.matches(n.VERDICT, verdict)]) + ') == 1) == ' + count + ')',
  ];
  local units = if judged == [] || config.evidence.minimumUnits == '0' then [] else [
    'and on ()',
    '(count(max by (kpi) (' + own(n.KPI_UNITS, [p.matches(n.KPI, names), p.equals(n.ROLE, 'canary')]) + ') >= ' + config.evidence.minimumUnits + ') == ' + count + ')',
  ];
  local objections = p.select('ALERTS', [
    p.equals(n.SERVICE, config.service),
    p.matches(n.ACTION, 'rollback|hold'),
    p.differs(n.DRY_RUN, 'true'),
  ]);

  // People count from one.
  local shown(phase) = '%d' % (std.parseInt(phase.index) + 1);

  local complete(phase) = build.alert(n.PHASE_COMPLETE, {
    expr: p.lines(
      [in_phase(phase), elapsed('>= ' + phase.durationSeconds), active]
      + verdicts(if phase.advance == 'when_proven' then 'pass' else 'pass|hold')
      + units
      + ['and on ()', '(min(' + own(n.DATABASE_UP) + ') == 1)', 'unless on (rollout)', objections]
    ),
    severity: 'info',
    action: if phase.gate == 'manual' then 'none' else 'advance',
    labels: { [n.PHASE]: phase.index },
    summary: 'Canary {{ $labels.canary }} may leave phase ' + shown(phase) + ' (' + phase.traffic + ')',
    description: 'Phase ' + shown(phase) + ' with ' + phase.traffic + ' of the traffic has lasted its '
                 + build.limit(phase.durationSeconds, 'humanizeDuration') + ', '
                 + (if phase.advance == 'when_proven' then 'every judged KPI has passed' else 'no judged KPI fails or is blind')
                 + ', and no alert asks for a rollback or a hold.'
                 + (if phase.gate == 'manual' then ' It waits for a person: `canary advance`.' else ''),
  });

  std.flattenArrays([complete(phase) for phase in config.phases])

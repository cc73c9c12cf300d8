// Advancing is an alert as well: a phase's time is over, and nothing speaks against the next one.
//
// The same for every phase of every plan: how long it has lasted and must last, what else it waits for and what the
// evidence must say are series of the receiver.
local formats = import '../lib/formats.libsonnet';
local n = import '../lib/names.libsonnet';
local p = import '../lib/promql.libsonnet';

function(config, series, build)
  local own(metric, matchers=[]) = p.own(config, metric, matchers);
  local judged = [kpi for kpi in config.kpis if kpi.judge == 'evidence' && kpi.action != 'warn'];
  local names = std.join('|', [kpi.name for kpi in judged]);
  local count = std.toString(std.length(judged));
  local same_target = 'on (job, instance, rollout)';

  // Each receiver by itself, so that the phase of one is never held against the duration that another tells.
  local over(gate) = p.lines([
    'count_values by (service, rollout) (',
    '  "phase",',
    '  ' + own(n.ROLLOUT_PHASE),
    '  and ' + same_target,
    '  (' + own(n.ROLLOUT_PHASE_ELAPSED_SECONDS) + ' >= ' + same_target + ' ' + own(n.ROLLOUT_PHASE_DURATION_SECONDS) + ')',
    '  and ' + same_target,
    '  (' + own(n.ROLLOUT_STATE, [p.matches(n.STATE, 'phase|baking')]) + ' == 1)',
    '  and ' + same_target,
    '  (' + own(n.ROLLOUT_GATE, [gate]) + ' == 1)',
    ')',
    '* on (rollout) group_left (stable, canary, version)',
    series.running,
  ]);

  // All of the KPIs must say so: one that says nothing does not agree.
  local all_say(verdict) =
    '(count by (rollout) (max by (rollout, kpi) ('
    + own(n.KPI_VERDICT, [p.among(n.KPI, names), p.among(n.VERDICT, verdict)]) + ') == 1) == ' + count + ')';
  local evidence = if judged == [] then [] else [
    'and on (rollout)',
    p.block(p.lines([
      all_say('pass'),
      'or on (rollout)',
      all_say('pass|hold'),
      'and on (rollout)',
      '(max by (rollout) (' + own(n.ROLLOUT_ADVANCE, [p.equals(n.MODE, 'on_schedule')]) + ') == 1)',
    ])),
    'and on (rollout)',
    '(count by (rollout) (' + std.strReplace(p.beyond(
      'max by (rollout, kpi) (' + own(n.KPI_UNITS, [p.among(n.KPI, names), p.equals(n.ROLE, 'canary')]) + ')',
      '>=',
      p.limit(config, n.LIMIT_MINIMUM_UNITS)
    ), '\n', ' ') + ') == ' + count + ')',
  ];

  // What asks for a rollback objects from its first sign on; it fires or is gone within its own `for`, so that it never
  // blocks for ever. What asks for a hold objects when it fires: those that wait for minutes may be pending again and
  // again, and would. But that the canary's requests are missing objects at once: until there are two scrapes of them,
  // nobody would see its errors. This is the last rule of its group, and sees what fires in the very same evaluation.
  local objections(more) = p.select('ALERTS', [p.equals(n.SERVICE, config.service)] + more + [p.differs(n.DRY_RUN, 'true')]);
  local rest = evidence + [
    'and on (service)',
    '(min by (service) (' + own(n.DATABASE_UP) + ') == 1)',
    'unless on (rollout)',
    objections([p.equals(n.ACTION, 'rollback')]),
    'unless on (rollout)',
    objections([p.equals(n.ACTION, 'hold'), 'alertstate="firing"']),
    'unless on (rollout)',
    objections([p.equals(n.ACTION, 'hold'), p.equals(n.REASON, 'requests')]),
  ];

  // People count phases from one.
  local phase = build.shown(
    'max(' + own(n.ROLLOUT_PHASE, [n.ROLLOUT + '=%q']) + ') + 1', formats.count, [n.ROLLOUT]
  );
  local traffic = build.value(n.TRAFFIC_TARGET_RATIO, matchers=[p.equals(n.ROLE, 'canary')]);
  local complete(gate, action, labels, waits) = build.alert(n.PHASE_COMPLETE, {
    expr: p.lines([over(gate)] + rest),
    severity: 'info',
    action: action,
    labels: labels,
    summary: 'Phase ' + phase + ' (' + traffic + ') of {{ $labels.canary }} complete: ready to advance',
    description: 'Phase ' + phase + ' with ' + traffic + ' of the traffic has lasted its '
                 + build.value(n.ROLLOUT_PHASE_DURATION_SECONDS, 'humanizeDuration')
                 + ', the evidence allows the next one, and no alert asks for a rollback or a hold.' + waits,
  });

  complete(p.differs(n.GATE, 'manual'), 'advance', {}, '')
  + complete(p.equals(n.GATE, 'manual'), 'none', { [n.GATE]: 'manual' }, ' It waits for a person: `canary advance`.')

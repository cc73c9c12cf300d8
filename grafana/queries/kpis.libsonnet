// The KPIs and what the evidence says about them.
local query = import '../lib/query.libsonnet';

function(config)
  local select = (import '../lib/select.libsonnet')(config);
  local of(kpi) = ['kpi="' + kpi.name + '"'];
  local percents = std.join('|', [kpi.name for kpi in config.kpis if kpi.unit == 'percentunit']);
  local perKpi(expr) = 'max by (kpi) (' + expr + ')';
  local judged(name, matchers=[]) = select.rollout(name, matchers);
  local label(expr, name, value, kpis) =
    if kpis == [] then expr
    else 'label_replace(' + expr + ', "' + name + '", "' + value + '", "kpi", "' + std.join('|', kpis) + '")';
  local withAction(expr) = std.foldl(
    function(text, action) label(text, 'action', action, [kpi.name for kpi in config.kpis if kpi.action == action]),
    ['rollback', 'hold', 'warn'],
    expr
  );
  // The last that was known in the time range, so that the table still says why when the rollout is over.
  local last(expr) = 'last_over_time((' + expr + ')[$__range:' + config.rateStep + '])';
  local column(name, matchers=[]) = query.column(perKpi(last(select.rollout(name, matchers))));

  // Shares are shown as percent, so that all KPIs fit one column; the column `unit` says so.
  local readable(role) =
    local value = select.rollout('kpi_value', ['role="' + role + '"']);
    local shares = select.rollout('kpi_value', ['role="' + role + '"', 'kpi=~"' + percents + '"']);
    last(if percents == '' then value else '(100 * ' + shares + ' or ' + value + ')');
  local proof(name) = select.rollout(name) + ' / ' + select.rollout('kpi_evidence_threshold');

  {
    // Columns of the table, one row per KPI.
    verdict:: query.column(
      'max by (kpi, verdict, action) (' + withAction(last(select.rollout('kpi_verdict'))) + ' == 1)'
    ),
    proof:: query.column('clamp(' + perKpi(last(
      '(' + proof('kpi_evidence') + ' or label_replace(' + proof('kpi_floor_evidence') + ', "of", "floor", "kpi", ".*"))'
    )) + ', 0, 1)'),
    stable:: query.column('max by (kpi, unit) (' + label(readable('stable'), 'unit', '%', std.split(percents, '|')) + ')'),
    canary:: query.column(perKpi(readable('canary'))),
    change:: column('kpi_relative_change'),
    lower:: column('kpi_relative_change_lower'),
    upper:: column('kpi_relative_change_upper'),
    tolerance:: column('kpi_tolerance'),
    stableUnits:: column('kpi_units', ['role="stable"']),
    canaryUnits:: column('kpi_units', ['role="canary"']),
    evidence:: column('kpi_evidence'),
    threshold:: column('kpi_evidence_threshold'),

    // Only what was found at some time in the range; each is a line.
    findings:: query.range(
      'max by (kpi, reason) (' + judged('kpi_finding') + ') and on (kpi, reason) max_over_time((max by (kpi, reason) (' + judged('kpi_finding') + '))[$__range:' + config.rateStep + ']) > 0',
      '{{kpi}}: {{reason}}'
    ),

    // The band that narrows while customers come, with the change that is tolerated.
    band(kpi)::
      local change(name) = perKpi(judged(name, of(kpi)));
      local lowest(expr) = 'clamp_min(' + expr + ', -' + kpi.cut + ')';
      local highest(expr) = 'clamp_max(' + expr + ', ' + kpi.cut + ')';
      // Before there is enough to say, estimates jump and bounds are far apart. They are cut to what is worth drawing:
      // an estimate on its good side only, bounds never so that the estimate lies outside.
      local estimate = (if kpi.worse == 'lower' then highest else lowest)(change('kpi_relative_change'));
      local within(bound, side) = '(' + bound + '\n' + side + '\n' + estimate + ')\nor\n' + estimate + '\nor\n' + bound;
      [
        query.range(within(lowest(change('kpi_relative_change_lower')), '<'), 'lower bound', 'bound'),
        query.range(within(highest(change('kpi_relative_change_upper')), '>'), 'upper bound', 'band'),
        query.range(estimate, 'estimate', 'canary'),
        query.range((if kpi.worse == 'lower' then '-' else '') + change('kpi_tolerance'), 'tolerated', 'limit'),
      ],

    // Parts of the customers: how near each is to a proof of harm, and its change.
    segmentProof(kpi):: query.range(
      'clamp(max by (segment) (' + judged('kpi_segment_evidence', of(kpi)) + ') / on () group_left () max('
      + judged('kpi_segment_threshold', of(kpi)) + '), 0, 1)',
      '{{segment}}'
    ),
    segmentChange(kpi):: query.range(
      'clamp(max by (segment) (' + judged('kpi_segment_change', of(kpi)) + '), -' + kpi.cut + ', ' + kpi.cut + ')', '{{segment}}'
    ),

    // What the last releases add up to, with the band and the budget; no rollout's, the shop's.
    drift:: [
      query.range('max by (kpi) (' + select.own(pair[0]) + ')', '{{kpi}}' + pair[1])
      for pair in [['drift_change', ''], ['drift_change_lower', ', lower bound'], ['drift_change_upper', ', upper bound'], ['drift_budget', ', budget']]
    ],

    // A KPI as published, over its trailing window, by version.
    trend(kpi)::
      local by = if kpi.currency then 'version, currency' else 'version';
      local legend(text) = text + if kpi.currency then ' {{currency}}' else '';
      local series(matcher) = 'max by (' + by + ') (' + kpi.metric + '{service="$service"' + matcher + '}';
      [
        query.range(series(', version="$stable"') + ')', legend('stable {{version}}'), 'stable'),
        query.range(series(', version="$canary"') + ')', legend('canary {{version}}'), 'canary'),
        query.range(series(', version="$stable"') + ' offset 1d)', legend('stable, the day before'), 'before'),
      ],
  }

// Experiments: every treatment against its control.
local query = import '../lib/query.libsonnet';

function(config)
  local select = (import '../lib/select.libsonnet')(config);
  local perKpi(expr) = 'max by (experiment, variant, kpi) (' + expr + ')';
  local column(name, matchers=[]) = query.column(perKpi(select.own(name, matchers)));
  local percents = std.join('|', [kpi.name for kpi in config.kpis if kpi.unit == 'percentunit']);
  // Shares as percent, as on the rollout's dashboard.
  local readable(role) =
    local value(more) = select.own('experiment_value', ['role="' + role + '"'] + more);
    query.column(perKpi(if percents == '' then value([]) else '100 * ' + value(['kpi=~"' + percents + '"']) + ' or ' + value([])));

  {
    verdict:: query.column('max by (experiment, variant, kpi, verdict) (' + select.own('experiment_verdict') + ' == 1)'),
    proof:: query.column(
      'clamp(' + perKpi(select.own('experiment_evidence') + ' / ' + select.own('experiment_evidence_threshold')) + ', 0, 1)'
    ),
    better:: column('experiment_better'),
    guardrail:: column('experiment_guardrail'),
    control:: readable('control'),
    treatment:: readable('treatment'),
    change:: column('experiment_relative_change'),
    lower:: column('experiment_relative_change_lower'),
    upper:: column('experiment_relative_change_upper'),
    controlUnits:: column('experiment_units', ['role="control"']),
    treatmentUnits:: column('experiment_units', ['role="treatment"']),

    running:: query.instant('max by (experiment, variant) (' + select.own('experiment_running') + ')', '{{experiment}}: {{variant}}'),
    mismatch:: query.range(
      'max by (experiment, variant) (' + select.own('experiment_mismatch_evidence') + ')', '{{experiment}}: {{variant}}'
    ),

    // The band of one KPI of one treatment; as with rollouts, cut to what is worth drawing.
    band(experiment, variant, kpi)::
      local change(name) = perKpi(select.own(name, [
        'experiment="' + experiment + '"',
        'variant="' + variant + '"',
        'kpi="' + kpi.name + '"',
      ]));
      [
        query.range('clamp_min(' + change('experiment_relative_change_lower') + ', -' + kpi.cut + ')', 'lower bound', 'bound'),
        query.range('clamp_max(' + change('experiment_relative_change_upper') + ', ' + kpi.cut + ')', 'upper bound', 'band'),
        query.range('clamp(' + change('experiment_relative_change') + ', -' + kpi.cut + ', ' + kpi.cut + ')', 'estimate', 'canary'),
      ],
  }

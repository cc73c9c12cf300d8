// The KPIs and what the evidence says about them.
local query = import '../lib/query.libsonnet';

function(config)
  local select = (import '../lib/select.libsonnet')(config);
  local of(kpi) = ['kpi="' + kpi.name + '"'];
  local percents = std.join('|', [kpi.name for kpi in config.kpis if kpi.unit == 'percentunit']);
  local perKpi(expr) = 'max by (kpi) (' + expr + ')';
  local judged(name, matchers=[]) = select.ofRollout(select.own(name, matchers));
  local label(expr, name, value, kpis) =
    if kpis == [] then expr
    else 'label_replace(' + expr + ', "' + name + '", "' + value + '", "kpi", "' + std.join('|', kpis) + '")';
  local withAction(expr) = std.foldl(
    function(text, action) label(text, 'action', action, [kpi.name for kpi in config.kpis if kpi.action == action]),
    ['rollback', 'hold', 'warn'],
    expr
  );
  // Shares are shown as percent, so that all KPIs fit one column; the column `unit` says so.
  local readable(role) =
    local value = select.own('kpi_value', ['role="' + role + '"']);
    local shares = select.own('kpi_value', ['role="' + role + '"', 'kpi=~"' + percents + '"']);
    if percents == '' then judged('kpi_value', ['role="' + role + '"'])
    else select.ofRollout('(100 * ' + shares + ' or ' + value + ')');
  local proof = select.own('kpi_evidence') + ' / ' + select.own('kpi_evidence_threshold');
  local floorProof = select.own('kpi_floor_evidence') + ' / ' + select.own('kpi_evidence_threshold');

  {
    // Columns of the table, one row per KPI.
    verdict:: query.column(
      'max by (kpi, verdict, action) (' + withAction(select.ofRollout('(' + select.own('kpi_verdict') + ' == 1)')) + ')'
    ),
    proof:: query.column(
      'clamp(' + perKpi(select.ofRollout(
        '(' + proof + ' or label_replace(' + floorProof + ', "of", "floor", "kpi", ".*"))'
      )) + ', 0, 1)'
    ),
    stable:: query.column('max by (kpi, unit) (' + label(readable('stable'), 'unit', '%', std.split(percents, '|')) + ')'),
    canary:: query.column(perKpi(readable('canary'))),
    change:: query.column(perKpi(judged('kpi_relative_change'))),
    lower:: query.column(perKpi(judged('kpi_relative_change_lower'))),
    upper:: query.column(perKpi(judged('kpi_relative_change_upper'))),
    tolerance:: query.column(perKpi(judged('kpi_tolerance'))),
    stableUnits:: query.column(perKpi(judged('kpi_units', ['role="stable"']))),
    canaryUnits:: query.column(perKpi(judged('kpi_units', ['role="canary"']))),
    evidence:: query.column(perKpi(judged('kpi_evidence'))),
    threshold:: query.column(perKpi(judged('kpi_evidence_threshold'))),

    // The band that narrows while customers come, with the change that is tolerated.
    band(kpi):: [
      // Unbounded before there is enough to say: cut to what is worth drawing.
      query.range('clamp_min(' + perKpi(judged('kpi_relative_change_lower', of(kpi))) + ', -' + kpi.cut + ')', 'lower bound', 'bound'),
      query.range('clamp_max(' + perKpi(judged('kpi_relative_change_upper', of(kpi))) + ', ' + kpi.cut + ')', 'upper bound', 'band'),
      query.range(perKpi(judged('kpi_relative_change', of(kpi))), 'estimate', 'canary'),
      query.range(
        (if kpi.worse == 'lower' then '-' else '') + perKpi(judged('kpi_tolerance', of(kpi))),
        'tolerated',
        'limit'
      ),
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

// Builds alerts: labels, annotations and the policy's switches and overrides, the same way for all of them.
local n = import 'names.libsonnet';
local p = import 'promql.libsonnet';

function(config) {
  local override(name) = { enabled: true, labels: {}, annotations: {} } + std.get(config.alerts, name, {}),

  enabled(name):: override(name).enabled,

  // One alert as a list, empty when it is switched off.
  // watch: for people after promotion, whatever action the policy gives.
  // spec: expr, severity, action, summary, description; optional: hold_for, labels, and dashboard (where to look),
  // of_rollout (false when the alert has no rollout).
  alert(name, spec, watch=false)::
    local own = override(name);
    local panel = std.get(n.ALERT_PANELS, name, { dashboard: std.get(spec, 'dashboard', 'rollout'), id: '' });
    local owner = std.get(config.owners, std.get(std.get(spec, 'labels', {}), n.KPI, ''), '');
    local hold_for = std.get(own, 'hold_for', std.get(spec, 'hold_for', ''));
    if !own.enabled then [] else [
      { alert: name, expr: spec.expr }
      + (if hold_for == '' || hold_for == '0s' then {} else { 'for': hold_for })
      + {
        labels: {
                  [n.SEVERITY]: std.get(own, 'severity', spec.severity),
                  [n.ACTION]: if watch then spec.action else std.get(own, 'action', spec.action),
                  [n.SERVICE]: config.service,
                } + (if std.get(own, 'dry_run', false) then { [n.DRY_RUN]: 'true' } else {}) + std.get(spec, 'labels', {})
                + (if owner == '' then {} else { [n.OWNER]: owner }) + own.labels,
        annotations: {
          summary: spec.summary,
          description: spec.description,
          runbook_url: config.runbookUrl + name + '.md',
          dashboard_url: config.dashboardUrl + '/d/' + config.dashboards[panel.dashboard] + '?var-service=' + config.service
                         + (if std.get(spec, 'of_rollout', true) then '&var-rollout={{ $labels.rollout }}' else '')
                         + (if panel.id == '' then '' else '&viewPanel=' + panel.id)
                         // An hour up to the alert and all that came after it, in milliseconds.
                         + '&from={{ with query `time() - 3600` }}{{ . | first | value | printf "%.0f000" }}{{ end }}',
          page_url: config.pageUrl,
        } + own.annotations,
      },
    ],

  // For descriptions: the value of a query as a percentage (or by another template function), `?` when there is none.
  // Each `%q` in the query stands for the value of the next of *labels*, quoted.
  shown(query, filter='humanizePercentage', labels=[])::
    '{{ with '
    + (if labels == [] then 'query `' + query + '`'
       else 'printf `' + query + '` ' + std.join(' ', ['$labels.' + label for label in labels]) + ' | query')
    + ' }}{{ . | first | value | ' + filter + ' }}{{ else }}?{{ end }}',

  // For descriptions: what exporter or receiver say of the alert's own rollout.
  value(metric, filter='humanizePercentage', matchers=[])::
    $.shown('max(' + p.own(config, metric, [n.ROLLOUT + '=%q'] + matchers) + ')', filter, [n.ROLLOUT]),

  // For descriptions: *text* where exporter or receiver say 1 of the alert's own rollout.
  where(metric, matchers, text)::
    '{{ if printf `max(' + p.own(config, metric, [n.ROLLOUT + '=%q'] + matchers) + ') == 1` $labels.' + n.ROLLOUT
    + ' | query }}' + text + '{{ end }}',

  // For descriptions: a limit of the alert's own rollout.
  limit(name, filter='humanizePercentage', kpi='')::
    $.value(n.ROLLOUT_LIMIT, filter, [p.equals(n.LIMIT, name)] + (if kpi == '' then [] else [p.equals(n.KPI, kpi)])),

  // For descriptions: a number of the configuration, written as people write it.
  written(number, filter='humanizePercentage'):: '{{ "' + number + '" | ' + filter + ' }}',
}

// The guard's own health: exporter, receiver, and the links between them.
local query = import '../lib/query.libsonnet';

function(config)
  local select = (import '../lib/select.libsonnet')(config);
  local age(name) = 'time() - max(' + select.own(name) + ')';
  // How often something rare happened since the point before. A counter that is new has counted from nought, which
  // increase() cannot see.
  local happened(expr, by) = 'clamp_min(sum by (' + by + ') (' + expr + ' - ' + expr + ' offset $__interval or ' + expr + '), 0)';
  local recent(name, by) = happened(select.own(name), by);
  // Published from the receiver's start on, whatever happens to any rollout.
  local alive = select.own('router_drift_total');
  local duration(level, name) =
    'histogram_quantile(' + level + ', sum by (le) (rate('
    + select.metric(config.names[name] + '_bucket', ['service="$service"']) + '[$__rate_interval])))';

  {
    databaseUp:: query.instant('min(' + select.own('database_up') + ')', ''),
    refreshAgeNow:: query.instant('min(' + select.own('last_refresh_age_seconds') + ')', ''),
    watchdogAgeNow:: query.instant(age('watchdog_last_seen_timestamp_seconds'), ''),
    drillAge:: query.instant('min(' + select.own('drill_age_seconds') + ')', ''),
    drift:: query.instant(
      'max(abs(' + select.rollout('traffic_ratio', ['role="canary"']) + ' - ' + select.rollout('traffic_target_ratio', ['role="canary"']) + '))', ''
    ),
    notDelivered:: query.instant(
      'sum(increase(' + select.own('notifications_total', ['outcome!="sent"']) + '[$__range])) or 0 * max(' + alive + ')', ''
    ),

    refreshAge:: query.range('min(' + select.own('last_refresh_age_seconds') + ')', 'since the last refresh'),
    dataLag:: query.range('max(' + select.own('data_lag_seconds') + ')', 'newest order'),
    refresh:: [
      query.range(duration(pair[0], 'refresh_duration_seconds'), pair[1])
      for pair in [['0.5', 'p50'], ['0.99', 'p99']]
    ],
    errors:: query.range(recent('exporter_errors_total', 'error'), '{{error}}'),
    backfill:: query.range('min(' + select.own('backfill_ratio') + ')', 'history read'),
    repaired:: [
      query.range(recent('reconciled_rows_total', 'event'), 'reconciled {{event}}'),
      query.range(recent('corrections_total', 'event'), 'corrected {{event}}'),
    ],
    watchdogAge:: query.range(age('watchdog_last_seen_timestamp_seconds'), 'since the last heartbeat'),
    webhook:: query.range(recent('webhook_alerts_total', 'action, outcome'), '{{action}} {{outcome}}'),
    actions:: query.range(recent('actions_total', 'action, outcome'), '{{action}} {{outcome}}'),
    rollbacks:: query.range('sum by (cause) (' + select.own('rollbacks_total') + ')', '{{cause}}'),
    notifications:: query.range(recent('notifications_total', 'outcome'), '{{outcome}}'),
    convergence:: [
      query.range(duration(pair[0], 'convergence_seconds'), pair[1])
      for pair in [['0.5', 'p50'], ['0.99', 'p99']]
    ],
    drifts:: query.range(recent('router_drift_total', 'service') + ' or 0 * max by (service) (' + alive + ')', 'put right'),
    deliveries:: query.range(
      happened('alertmanager_notifications_failed_total{integration="webhook"}', 'integration'), 'failed by {{integration}}'
    ),
    reloaded:: query.instant('min(' + config.names.config_last_reload_successful + ')', ''),
    heldBack:: [
      query.range('max(' + select.own('freeze_active') + ')', 'change freeze: nothing starts or advances'),
      query.range('max by (action) (' + select.rollout('alerts_suppressed') + ' > bool 0)', 'silenced: {{action}}'),
    ],
    policies:: query.column('max by (component, digest) (' + select.own('policy_info') + ')'),
    builds:: query.column(
      'max by (version, job, instance) (' + config.names.build_info + ')'
    ),
  }

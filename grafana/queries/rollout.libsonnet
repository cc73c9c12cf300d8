// Where the rollout stands, and how its traffic is divided.
local query = import '../lib/query.libsonnet';

local any(terms) = 'max by (service) (\n  ' + std.join('\nor\n  ', terms) + '\n)';

function(config)
  local select = (import '../lib/select.libsonnet')(config);
  // Before the first rollout the receiver is idle, and its state has no rollout.
  local in_state(pattern) = '(' + select.own('rollout_state', ['rollout=~"$rollout|"', 'state=~"' + pattern + '"']) + ' == 1)';
  local while_running(expr) = '(' + expr + ' == 1 and on (service) ' + in_state('phase|holding|baking') + ')';
  local some(verdict) = while_running('max by (service) (' + select.rollout('kpi_verdict', ['verdict="' + verdict + '"']) + ')');
  local all_pass = while_running(
    'min by (service) (' + select.rollout('kpi_verdict', ['verdict="pass"'])
    + ' and on (rollout, kpi) ' + select.rollout('kpi_judged') + ' == 1)'
  );
  local harm_alert = while_running('max by (service) (ALERTS{service="$service", rollout="$rollout", alertstate="firing", action="rollback"})');
  local traffic(name) = select.rollout(name, ['role="canary"']);

  {
    // The worst that is known, as a number; the dashboard has the words. Several terms have the same labels, of which
    // `or` keeps the first: so the worst comes first.
    canary:: query.instant(any([
      '8 * ' + in_state('failed'),
      '7 * ' + in_state('rolling_back|rolled_back'),
      '6 * ' + some('fail'),
      '6 * ' + harm_alert,
      '5 * ' + in_state('holding'),
      '4 * ' + some('blind'),
      '4 * ' + while_running('max by (service) (' + select.own('blind') + ')'),
      '4 * (' + in_state('phase|baking') + ' unless on (service) ' + select.own('database_up') + ' == 1)',
      '3 * ' + in_state('promoted'),
      '2 * ' + all_pass,
      '1 * ' + in_state('phase|baking'),
      '0 * ' + in_state('idle'),
    ]), ''),

    // The state set as one number: the state's place in the contract's list.
    state:: query.instant(any([
      i + ' * ' + in_state(config.states[i])
      for i in std.range(0, std.length(config.states) - 1)
    ]), ''),

    // People count from one. Which share that is, is another panel's: a rollout has phases of its own, whatever plan the
    // policy has by now.
    phase:: query.instant('max by (service) (' + select.rollout('rollout_phase') + ') + 1 and on (service) ' + in_state('phase|holding|baking'), ''),

    timeLeft:: query.instant(
      'clamp_min(max by (service) (' + select.rollout('rollout_phase_duration_seconds') + ' - '
      + select.rollout('rollout_phase_elapsed_seconds') + '), 0) and on (service) '
      + in_state('phase|holding|baking'), ''
    ),

    versions:: query.instant(
      'max by (stable, canary) (' + select.rollout('rollout_info') + ')', '{{canary}} after {{stable}}'
    ),

    // What asked for a rollback; nothing when a person did.
    cause:: query.instant(
      'max by (why) (label_replace(label_replace(\n  last_over_time(ALERTS{service="$service", rollout="$rollout", '
      + 'alertstate="firing", action="rollback"}[$__range]),\n  "why", "$1", "alertname", "Canary(.+)"), "why", "$1", "kpi", "(.+)"))',
      '{{why}}'
    ),

    trafficNow:: query.instant('max(' + traffic('traffic_ratio') + ')', ''),
    traffic:: [
      query.range('max(' + traffic('traffic_target_ratio') + ')', 'asked for', 'wanted'),
      query.range('max(' + traffic('traffic_ratio') + ')', 'read back from the router', 'canary'),
    ],

    // One alert is one line; the number says what it does (0 pending, 1 goes on, 2 tells people, 3 holds, 4 rolls back).
    alerts:: query.range(
      'max by (alertname, kpi, reason, metric) (\n  '
      + std.join('\nor\n  ', [
        'ALERTS{service="$service", alertname!="' + config.watchdog + '", ' + term[0] + '} * ' + term[1]
        for term in [
          ['alertstate="firing", action="rollback"', 4],
          ['alertstate="firing", action="hold"', 3],
          ['alertstate="firing", action!~"rollback|hold|advance"', 2],
          ['alertstate="firing", action="advance"', 1],
          ['alertstate="pending"', 0],
        ]
      ]) + '\n)', '{{alertname}} {{kpi}}{{reason}}{{metric}}'
    ),
  }

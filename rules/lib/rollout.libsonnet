// Which rollout runs, and which version is its canary: what every rule that may act is joined with.
local n = import 'names.libsonnet';
local p = import 'promql.libsonnet';

function(config) {
  // Receivers in these states, each target by itself: with two receivers one may lag behind the other.
  local in_state(states) = p.lines([
    'label_replace(',
    '  max by (rollout, stable, canary) (',
    '    ' + p.own(config, n.ROLLOUT_INFO),
    '    and on (job, instance)',
    '    (' + p.own(config, n.ROLLOUT_STATE, [p.matches(n.STATE, states)]) + ' == 1)',
    '  ),',
    '  "version", "$1", "canary", "(.+)"',
    ')',
  ]),

  local older_than(event, seconds) = p.lines([
    'unless on (rollout)',
    '(',
    '  time() - max by (rollout) (' + p.own(config, n.ROLLOUT_EVENT_TIMESTAMP_SECONDS, [p.equals(n.EVENT, event)]) + ')',
    '  > ' + seconds,
    ')',
  ]),

  running:: 'rollout:canary_rollout_info:running',
  promoted:: 'rollout:canary_rollout_info:promoted',
  rolled_back:: 'rollout:canary_rollout_info:rolled_back',

  // Value 1, with the labels rollout, stable, canary, and version (the canary's).
  exprs:: {
    [$.running]: in_state('phase|holding|baking'),
    [$.promoted]: in_state('promoted') + '\n' + older_than('promotion', config.rollback.watchSeconds),
    [$.rolled_back]: in_state('rolled_back') + '\n' + older_than('rollback', '86400'),
  },

  // How long the running rollout has lasted.
  age:: 'time() - max(' + p.own(config, n.ROLLOUT_STARTED_TIMESTAMP_SECONDS) + ')',
}

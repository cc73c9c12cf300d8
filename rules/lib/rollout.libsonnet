// Which rollout runs, and which version is its canary: what every rule that may act is joined with, by the rollout's id.
//
// Prometheus answers a series that ended without a stale marker (it was restarted at that moment) for five minutes more,
// and so it may answer two rollouts as running at once. A receiver only ever speaks of its newest, and all that it says
// comes with one scrape: so of each receiver only what its newest scrape said counts. Prometheus compares times of its
// own for that, never a timestamp of another machine.
local n = import 'names.libsonnet';
local p = import 'promql.libsonnet';

function(config) {
  local info = p.own(config, n.ROLLOUT_INFO),

  // What each receiver's newest scrape says of the newest rollout.
  local newest(series) = p.lines([
    series,
    'and on (job, instance, rollout)',
    '(timestamp(' + info + ') == on (job, instance) group_left () max by (job, instance) (timestamp(' + info + ')))',
  ]),
  local indented(text, spaces) = std.strReplace(text, '\n', '\n' + spaces),

  // Receivers in these states, each target by itself: with two receivers one may lag behind the other.
  local in_state(states) = p.lines([
    'label_replace(',
    '  max by (service, rollout, stable, canary) (',
    '    ' + info,
    '    and on (job, instance, rollout)',
    '    ' + indented(newest('(' + p.own(config, n.ROLLOUT_STATE, [p.among(n.STATE, states)]) + ' == 1)'), '    '),
    '  ),',
    '  "version", "$1", "canary", "(.+)"',
    ')',
  ]),

  local promoted_for = 'max by (rollout) (' + p.own(config, n.ROLLOUT_SINCE_PROMOTION_SECONDS) + ')',
  local over_for = 'max by (rollout) (' + p.own(config, n.ROLLOUT_SINCE_END_SECONDS) + ')',

  running:: 'rollout:canary_rollout_info:running',
  promoted:: 'rollout:canary_rollout_info:promoted',
  finishing:: 'rollout:canary_rollout_info:finishing',
  rolled_back:: 'rollout:canary_rollout_info:rolled_back',

  // z of Wilson's bounds: one number per service, of the newest rollout, whatever its state; what is proven by it is only
  // ever joined with rollouts that run or are watched. It stands several times in each bound, and each bound in several
  // alerts. So it reads the receiver's own series: through `running` and `promoted` it was four times as long, and an
  // alert that is written out had 20 kB.
  confidence:: 'service:canary_rollout_limit:confidence_z',

  // The others have the value 1, and the labels service, rollout, stable, canary, and version (the canary's).
  exprs:: {
    [$.running]: in_state('phase|holding|baking'),
    // The new version is watched from its promotion on, also while the release is finished, and afterwards.
    [$.promoted]: in_state('promoted|finishing|finished') + '\nunless on (rollout)\n'
                  + p.block(p.beyond(promoted_for, '>', p.limit(config, n.LIMIT_WATCH))),
    [$.finishing]: in_state('finishing'),
    // People read of a rollback for a day.
    [$.rolled_back]: in_state('rolled_back') + '\nunless on (rollout)\n(' + over_for + ' > 86400)',
    [$.confidence]: 'max by (service) ' + p.block(
      newest(p.own(config, n.ROLLOUT_LIMIT, [p.equals(n.LIMIT, n.LIMIT_CONFIDENCE)]))
    ),
  },

  // How long the rollouts have lasted, as their receiver measures it.
  // No window of theirs reaches behind their start: the long one, or one of so many seconds.
  settled:: $.older_than(config.signals.ladder[std.length(config.signals.ladder) - 1].seconds),
  older_than(seconds):: '(' + $.age + ' >= ' + seconds + ')',
  age:: 'max by (rollout) (' + p.own(config, n.ROLLOUT_ELAPSED_SECONDS) + ')',
}

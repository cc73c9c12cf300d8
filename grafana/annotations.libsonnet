// Marks on the time axis of every graph: what was decided about the rollout, and when.
local colours = import 'lib/colours.libsonnet';

local colour = {
  start: colours.stable,
  advance: colours.good,
  hold: colours.caution,
  resume: colours.undecided,
  rollback: colours.bad,
  promotion: colours.good,
};

function(config)
  local select = (import 'lib/select.libsonnet')(config);
  [
    {
      name: event,
      datasource: { type: 'prometheus', uid: '${datasource}' },
      enable: true,
      hide: false,
      iconColor: std.get(colour, event, colours.neutral),
      // The sample's value is the time of the event, in milliseconds here.
      expr: '1000 * max by (rollout, event) ('
            + select.rollout('rollout_event_timestamp_seconds', ['event="' + event + '"']) + ')',
      useValueForTime: true,
      titleFormat: '{{event}}',
      textFormat: '{{rollout}}',
      tagKeys: 'event',
      // As fine as scrapes are; Grafana's own minute would show a rollback late. Over long ranges it takes a longer one.
      step: config.step,
    }
    for event in config.events
  ]

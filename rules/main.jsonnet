// The rules for one configuration, as the command writes them: alerts with their inputs, and what only people read.
function(config)
  local parts = (import 'parts.libsonnet')(config);
  { alerts: { groups: parts.alert_groups(parts.inputs) }, rules: { groups: [parts.for_people] } }

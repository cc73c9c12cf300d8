// All recorded series together: each defined once, then read by name, or written out where nothing may be chained
// (vmalert stores recorded samples too late for the next rule of the same group).
local n = import 'names.libsonnet';
local p = import 'promql.libsonnet';

function(config) {
  // Locals, because jsonnet works out a local once, but a field anew each time it is asked for: as fields, every read
  // of a series inside another one made the whole table again.
  local rollout = (import 'rollout.libsonnet')(config),
  local technical = (import 'technical.libsonnet')(config, read),
  local machine = (import 'machine.libsonnet')(config, read),
  // What is not watched is not recorded.
  local watched = if config.technical then technical.order + machine.order else [],
  local exprs = rollout.exprs + technical.exprs + machine.exprs,
  local read(name) = if config.inline then '(' + exprs[name] + ')' else p.own(config, name),

  read:: read,
  rollout:: rollout,
  technical:: technical,
  machine:: machine,
  exprs:: exprs,

  running:: read($.rollout.running),
  promoted:: read($.rollout.promoted),
  finishing:: read($.rollout.finishing),
  rolled_back:: read($.rollout.rolled_back),

  rule(name, expr):: { record: name, expr: expr, labels: { [n.SERVICE]: config.service } },

  // What the alerts read, in the order in which each rule reads only what stands before it.
  rules:: [
    $.rule(name, $.exprs[name])
    for name in
      [$.rollout.running, $.rollout.promoted, $.rollout.finishing, $.rollout.rolled_back, $.rollout.confidence] + watched
  ] + (
    if !config.technical || $.technical.by_endpoint then []
    else [$.rule(name, $.technical.for_people[name]) for name in std.objectFields($.technical.for_people)]
  ),
}

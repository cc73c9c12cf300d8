// All recorded series together: each defined once, then read by name, or written out where nothing may be chained
// (vmalert stores recorded samples too late for the next rule of the same group).
local n = import 'names.libsonnet';
local p = import 'promql.libsonnet';

function(config) {
  local read(name) = if config.inline then '(' + $.exprs[name] + ')' else p.own(config, name),

  read:: read,
  rollout:: (import 'rollout.libsonnet')(config),
  technical:: (import 'technical.libsonnet')(config, read),
  machine:: (import 'machine.libsonnet')(config, read),

  exprs:: $.rollout.exprs { [$.technical.confidence]: $.technical.confidence_expr } + $.technical.exprs + $.machine.exprs,

  running:: read($.rollout.running),
  promoted:: read($.rollout.promoted),
  rolled_back:: read($.rollout.rolled_back),

  rule(name, expr):: { record: name, expr: expr, labels: { [n.SERVICE]: config.service } },

  // What the alerts read, in the order in which each rule reads only what stands before it.
  rules:: [
    $.rule(name, $.exprs[name])
    for name in
      [$.rollout.running, $.rollout.promoted, $.rollout.rolled_back, $.technical.confidence] + $.technical.order + $.machine.order
  ] + (
    if $.technical.by_endpoint then []
    else [$.rule(name, $.technical.for_people[name]) for name in std.objectFields($.technical.for_people)]
  ),
}

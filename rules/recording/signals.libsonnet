// Technical series that people read and no alert does: 4xx, and further percentiles, by version and endpoint.
// HAProxy's read the running rollout, and so stand in the group that records it.
function(config, series)
  local exprs = series.technical.for_people;
  if config.technical && series.technical.by_endpoint then [series.rule(name, exprs[name]) for name in std.objectFields(exprs)] else []

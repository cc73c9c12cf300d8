// Technical series that people read and no alert does: 4xx, and further percentiles, by version and endpoint.
function(config, series)
  local exprs = series.technical.for_people;
  [series.rule(name, exprs[name]) for name in std.objectFields(exprs)]

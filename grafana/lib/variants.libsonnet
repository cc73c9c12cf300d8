// Queries over the services' own series. Where services name theirs differently, each query is asked for the services
// it is right for: our own series of the chosen service lets the others' through only where they are the chosen one's.
//
// make: from the names of one way (`config.signals`) to an object of queries, null for what that way cannot tell.
function(config, make)
  local select = (import 'select.libsonnet')(config);
  local made = [{ way: way, queries:: make(way) } for way in [config.signals] + std.get(config, 'others', [])];
  local gated(expr, way) =
    if std.objectHas(way, 'services') then
      'label_replace(\n' + expr + ',\n"service", "$service", "", ""\n)\nand on (service)\n'
      + select.metric(config.names.policy_info, ['service=~"' + way.services + '"', 'service="$service"'])
    else expr;
  local joined(of) =
    local known = [{ way: one.way, query: of(one.queries) } for one in made if of(one.queries) != null];
    known[0].query {
      expr: std.join('\nor\n', [gated(one.query.expr, one.way) for one in known]),
      legendFormat: std.join('', std.uniq([one.query.legendFormat for one in known])),
    };

  {
    // of: takes one query from what `make` has made.
    one(of):: joined(of),
    // As many as a way has, each joined with those at its place.
    each(of):: [
      joined(function(queries) local list = of(queries); if list == null then null else list[i])
      for i in std.range(0, std.length([of(one.queries) for one in made if of(one.queries) != null][0]) - 1)
    ],
  }

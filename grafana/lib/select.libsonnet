// Selectors of our own series, all of which carry `service`.
function(config) {
  local names = config.names,

  // Our series of the chosen service: select.own('kpi_evidence', ['kpi="conversion_rate"']).
  own(name, matchers=[])::
    names[name] + '{' + std.join(', ', ['service="$service"'] + matchers) + '}',

  // A metric of the shop by its full name, with matchers.
  metric(name, matchers=[])::
    name + '{' + std.join(', ', [matcher for matcher in matchers if matcher != '']) + '}',

  // Series while the chosen rollout was the newest one; the others belong to another rollout.
  ofRollout(expr)::
    expr + ' and on (service) ' + self.own('rollout_info', ['rollout="$rollout"']),

  // The version that plays a role in the chosen rollout.
  version(role):: '$' + role,
}

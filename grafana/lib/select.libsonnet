// Selectors of our own series, all of which carry `service`.
function(config) {
  local names = config.names,

  // Our series of the chosen service: select.own('refresh_duration_seconds').
  own(name, matchers=[])::
    names[name] + '{' + std.join(', ', ['service="$service"'] + matchers) + '}',

  // A metric of the shop by its full name, with matchers.
  metric(name, matchers=[])::
    name + '{' + std.join(', ', [matcher for matcher in matchers if matcher != '']) + '}',

  // Our series about the chosen rollout: select.rollout('kpi_evidence', ['kpi="conversion_rate"']). Before the first
  // one, the id is empty on both sides.
  rollout(name, matchers=[]):: self.own(name, ['rollout="$rollout"'] + matchers),

  // The version that plays a role in the chosen rollout.
  version(role):: '$' + role,
}

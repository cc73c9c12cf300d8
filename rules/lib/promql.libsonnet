// Small words for writing PromQL: lines, selectors, joins.
local n = import 'names.libsonnet';

{
  // Joins the parts of an expression, one per line.
  lines(parts):: std.join('\n', parts),

  // `(` expression `)` over several lines.
  block(text):: '(\n  ' + std.strReplace(text, '\n', '\n  ') + '\n)',

  // The text as one operand: in brackets when it has several lines.
  operand(text):: if std.strReplace(text, '\n', '') == text then text else $.block(text),

  // `metric{a,b}`; empty matchers are left out.
  select(metric, matchers=[])::
    local given = [matcher for matcher in matchers if matcher != ''];
    if given == [] then metric else metric + '{' + std.join(',', given) + '}',

  // A series of the exporter or the receiver of this service.
  own(config, metric, matchers=[])::
    $.select(metric, [$.equals(n.SERVICE, config.service)] + matchers),

  equals(label, value):: label + '="' + value + '"',
  matches(label, pattern):: label + '=~"' + pattern + '"',
  // One of several values, as `a|b`; a single one needs no pattern.
  among(label, values):: if std.length(std.findSubstr('|', values)) == 0 then $.equals(label, values) else $.matches(label, values),
  differs(label, value):: label + '!="' + value + '"',

  // A counter's name without `_total`, as recorded series name it.
  base(metric):: if std.endsWith(metric, '_total') then std.substr(metric, 0, std.length(metric) - 6) else metric,

  // Renames a label, when it is not called so already; the old one must not stay next to the new.
  renamed(expr, from, to)::
    if from == to then expr
    else 'max without (' + from + ') (label_replace(' + expr + ', "' + to + '", "$1", "' + from + '", "(.*)"))',

  // What a rollout's plan allows, as the receiver publishes it; *kpi* when it is a limit of one.
  limit(config, name, kpi='')::
    'max by (rollout) ('
    + $.own(config, n.ROLLOUT_LIMIT, [$.equals(n.LIMIT, name)] + (if kpi == '' then [] else [$.equals(n.KPI, kpi)])) + ')',

  // *expr*, one series per rollout (with whatever other labels), where it is beyond the limit of its rollout.
  beyond(expr, comparison, limit):: expr + '\n' + comparison + ' on (rollout) group_left ()\n' + limit,

  // *expr*, one series per rollout, as a value of the rollouts among *rollouts*.
  for_rollout(rollouts, expr):: rollouts + '\n* on (rollout) group_left ()\n' + $.block(expr),

  // *expr*, one series of this service, as a value of every rollout in *rollouts*.
  for_service(rollouts, expr):: rollouts + '\n* on (service) group_left ()\n' + $.operand(expr),

  // *expr*, one series per version, as a value of the rollout whose canary has that version.
  for_canary(rollouts, expr):: rollouts + '\n* on (version) group_left ()\n' + $.operand(expr),

  // *rollouts* as long as *condition*, one series per rollout, holds.
  during(rollouts, condition):: rollouts + '\nand on (rollout)\n' + $.block(condition),

  // *rollouts* as long as *condition*, one series of this service, holds.
  while_service(rollouts, condition):: rollouts + '\nand on (service)\n' + $.block(condition),

  // *expr*, whose series know no service, as one of this service: the shop's machines, that selectors of the policy name.
  of_service(config, expr):: 'label_replace(' + expr + ', "' + n.SERVICE + '", "' + config.service + '", "", "")',
}

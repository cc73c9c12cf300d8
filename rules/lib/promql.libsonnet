// Small words for writing PromQL: lines, selectors, joins.
local n = import 'names.libsonnet';

{
  // Joins the parts of an expression, one per line.
  lines(parts):: std.join('\n', parts),

  // `(` expression `)` over several lines.
  block(text):: '(\n' + $.lines(['  ' + line for line in std.split(text, '\n')]) + '\n)',

  // The text as one operand: in brackets when it has several lines.
  operand(text):: if std.length(std.findSubstr('\n', text)) == 0 then text else $.block(text),

  // `metric{a,b}`; empty matchers are left out.
  select(metric, matchers=[])::
    local given = [matcher for matcher in matchers if matcher != ''];
    if given == [] then metric else metric + '{' + std.join(',', given) + '}',

  // A series of the exporter or the receiver of this service.
  own(config, metric, matchers=[])::
    $.select(metric, [$.equals(n.SERVICE, config.service)] + matchers),

  equals(label, value):: label + '="' + value + '"',
  matches(label, pattern):: label + '=~"' + pattern + '"',
  differs(label, value):: label + '!="' + value + '"',

  // A counter's name without `_total`, as recorded series name it.
  base(metric):: if std.endsWith(metric, '_total') then std.substr(metric, 0, std.length(metric) - 6) else metric,

  // Renames a label, when it is not called so already; the old one must not stay beside the new.
  renamed(expr, from, to)::
    if from == to then expr
    else 'max without (' + from + ') (label_replace(' + expr + ', "' + to + '", "$1", "' + from + '", "(.*)"))',

  // *expr*, one series without labels, as a value of every rollout in *rollouts*.
  for_rollout(rollouts, expr):: rollouts + '\n* on () group_left ()\n' + $.block(expr),

  // *expr*, one series per version, as a value of the rollout whose canary has that version.
  for_canary(rollouts, expr):: rollouts + '\n* on (version) group_left ()\n' + $.block(expr),

  // *rollouts* as long as *condition*, one series without labels, holds.
  during(rollouts, condition):: rollouts + '\nand on ()\n' + $.block(condition),
}

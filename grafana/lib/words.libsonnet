// Words and colours for numbers that mean something.
local colours = import 'colours.libsonnet';

local mapping(options) = [{ type: 'value', options: options }];
local word(index, text, colour) = { index: index, text: text, color: colour };

{
  // queries/rollout.libsonnet counts in these.
  canary:: mapping({
    '0': word(0, 'No rollout', colours.neutral),
    '1': word(1, '✔ No harm seen', colours.good),
    '2': word(2, '✔ Proven harmless', colours.good),
    '3': word(3, '✔ Promoted', colours.good),
    '4': word(4, '? Flying blind', colours.blind),
    '5': word(5, '‖ On hold', colours.caution),
    '6': word(6, '✖ Harm', colours.bad),
    '7': word(7, '✖ Rolled back', colours.bad),
    '8': word(8, '✖ Rollback failed', colours.bad),
  }),

  states(names):: mapping({
    [std.toString(i)]: word(i, std.get({ phase: 'running', holding: 'on hold' }, names[i], std.strReplace(names[i], '_', ' ')), std.get({
      phase: colours.good,
      baking: colours.good,
      promoted: colours.good,
      holding: colours.caution,
      rolling_back: colours.bad,
      rolled_back: colours.bad,
      failed: colours.bad,
    }, names[i], colours.neutral))
    for i in std.range(0, std.length(names) - 1)
  }),

  verdicts:: mapping({
    pass: word(0, '✔ within tolerance', colours.good),
    hold: word(1, '… not decided yet', colours.neutral),
    fail: word(2, '✖ harm proven', colours.bad),
    blind: word(3, '? no fresh data', colours.blind),
  }),

  alerts:: mapping({
    '0': word(0, 'pending', colours.neutral),
    '1': word(1, '✔ goes on', colours.good),
    '2': word(2, '! tells people', colours.caution),
    '3': word(3, '‖ holds', colours.canary),
    '4': word(4, '✖ rolls back', colours.bad),
  }),

  upDown:: mapping({
    '0': word(0, '✖ no', colours.bad),
    '1': word(1, '✔ yes', colours.good),
  }),

  // Not wanted: it asks for a look, and is no fault.
  noFound:: mapping({
    '0': word(0, '–', colours.neutral),
    '1': word(1, 'yes', colours.caution),
  }),

  // A no that is no fault.
  noYes:: mapping({
    '0': word(0, '–', colours.neutral),
    '1': word(1, 'yes', colours.good),
  }),

  // KPI names as people say them.
  kpis(list):: mapping({ [list[i].name]: { index: i, text: list[i].title } for i in std.range(0, std.length(list) - 1) }),
}

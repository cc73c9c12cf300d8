"""What is looked at in one rule: the checks of pint that need no Prometheus, by pint's names.

In comes a rule with what it is held against, out come objections. pint itself is a program in Go that would have to be
installed next to ours; and it cannot know that what is said of one rollout must not be joined with another.
"""

from rules.checks import expressions, joins, words
from rules.checks.rule import Check, Context, Rule

CHECKS: tuple[Check, ...] = (*words.CHECKS, *expressions.CHECKS, *joins.CHECKS)

__all__ = ["CHECKS", "Context", "Rule"]

"""What may stand as a value in a policy: its form, its bounds, and the words in which it is refused.

`types` has each type of value, `scalars` the mechanism under them; `freezegrammar` and `timeinterval` are the one value
with a grammar of its own. In comes what YAML read, out goes a number or a text that is within its bounds.
"""

"""One translation of the policy for both halves of the mixin, and the jsonnet that evaluates them.

In comes a policy; out go the `_config` of rules and dashboards (`config`), and every limit that a rule compares with,
under the name by which the receiver publishes it (`limits`).
"""

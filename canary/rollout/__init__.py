"""What has been decided about rollouts, and the only way to decide more.

In come `commands` of people, alerts and the receiver's own parts, with what their authors saw; out go journal entries
(`entries`) and the rollouts (`state`) that they fold into (`folding`). `journal` keeps the entries durably, `store` is
the one place where a rollout changes. Pure but for `journal` and `store`; nothing here acts.
"""

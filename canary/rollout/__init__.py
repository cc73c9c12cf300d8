"""What has been decided about rollouts, and the only way to decide more.

In come commands of people, alerts and the receiver's own parts (`commands`, `records`), with what their authors saw
(`seen`); out go journal entries (`entries`, read from `rows`) and the rollouts (`state`) that they fold into
(`folding`). `journal` keeps the entries durably, `store` is the one place where a rollout changes. Pure but for
`journal` and `store`; nothing here acts.
"""

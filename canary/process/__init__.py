"""The canary's process: started before a rollout, stopped after its traffic has left.

In comes the policy's `process` section; out goes a `ProcessManager` (`manager`) for pm2, systemd, or programs of the
user's own, which `program` runs with a time limit and without a shell.
"""

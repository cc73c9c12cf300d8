"""What is done about decisions: traffic, the canary's process, messages, reports, the rollback log.

In come the rollouts as the journal has them; out go effects, all of them through the one place (`effects`) that asks
leadership and journal right before. Level-triggered: no part remembers an event, each looks at what is still open.
"""

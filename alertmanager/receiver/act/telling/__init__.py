"""What people are notified of decisions: the words of messages, report files, lines of the rollback log.

In come rollouts as the journal has them; out go texts and files. Nothing here decides when: `effects` and `outbox` do.
"""

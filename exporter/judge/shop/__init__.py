"""What the shop is like without the rollout, so that the rollout is not judged by what it did itself.

In come rows from before the start, or rows whose side is not looked at; out go the normal figures (`baseline`), the
usual fall over the day (`rhythm`), how far rows hang together (`dispersion`) and what `canary calibrate` has measured.
"""

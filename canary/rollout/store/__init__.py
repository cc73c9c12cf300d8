"""The one way to change a rollout: `store` compares what a caller saw while it appends to the journal.

In come commands; out go entries, told to whoever listens, and the rollouts that they fold into. The `reader` knows what
the journal says, the `writer` writes in the order of deciding. What lowers traffic is acted upon although the journal
is away: it is `unwritten` until it is in there, and remembered over a restart (`marker`, `recalled`).
"""

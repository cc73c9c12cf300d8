"""What may come next in a rollout: each command knows which entry it is in the present state, or refuses.

In come the rollout's state and what the caller saw of it (`seen`); out goes one entry for the journal, or why there is
none (`refusals`, `verbs`). `commands` are what people and alerts ask for, `records` what the receiver's own parts have
done; `amending`, `scheduling`, `freezing` and `finishing` are the commands of one concern each. All of it is pure.
"""

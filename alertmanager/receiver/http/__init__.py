"""Everything that the receiver answers over HTTP: webhook, API, page, feature flags.

In come requests that have passed the checks of `canary.web`; out go calls of `decide`'s parts, and answers of
documented shapes (`answers`). `routes/table` is the one table of it all.
"""

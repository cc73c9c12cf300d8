"""The journal: what was decided, kept durably before anything is done, in SQLite or PostgreSQL.

In come entries; out comes the chain of them, oldest first, as rows hold it (`rows`), every text made storable at one
place (`texts`). Nothing here knows what a rollout is allowed to do.
"""

"""`canary init`: from an unknown order database to a first policy.

In come the database's tables and rows; out goes a commented `canary.yaml` (`starter`). What it maps is a `draft`: that
of a known shop `platform` (a file in `platforms/`), or one that is guessed (`reading` looks, `proposal` decides).
`stamp` has the database note versions where no column does.
"""

"""Everything that the receiver answers, by who calls: people and pipelines, routers, applications.

In come the handlers' objects; out goes one `table`, of which `commands`, `notes`, `routers` and `flags` are parts.
"""

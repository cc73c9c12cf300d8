"""The shop's order database, read and never written.

In come the policy's `database` section and a server of any kind (`dialects`). Out go sessions with time limits
(`database` says where and how, `session` opens one on one of the `drivers`), the statements of each event (`streams`,
from the policy's `mapping`, fitted to what the `columns` hold) with the version that each row counts for
(`assignments`), and what is to `watch` about the place: changes of its schema, the lag of a replica.
"""

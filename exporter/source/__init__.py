"""The shop's order database, read and never written.

In come the policy's `database` section and a server of any kind (`dialects`). Out go sessions with time limits
(`database` says where and how, `session` opens one on one of the `drivers`), the statements of each event (`streams`,
from the policy's `mapping`), and what is odd about the place: its `zones`, changes of its `schema`, the lag of a
`replica`.
"""

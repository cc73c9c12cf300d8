"""The policy's `database`: where the order database is, how it is read, and which tables hold which events (`section`).

`sources` are further databases and shards, `requestlog` is the router's log where it says who was served by what.
"""

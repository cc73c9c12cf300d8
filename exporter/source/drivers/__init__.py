"""One module per kind of driver, and what every session sets.

In comes where the order database is and how it is to be read; out goes a session: `asynchronous` on a driver made for
asyncio, `threaded` on any other. `settings` is what makes either of them read only and bounded in time.
"""

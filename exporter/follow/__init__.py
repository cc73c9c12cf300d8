"""From the router's log to assignments, visits, and metrics of requests, for shops that record no version.

`service` is the process. Lines come in by `files` and `datagrams`, become requests in `lines`, are made into
assignments and visits by `tally`, and are kept by `store` in one transaction with the place in the log up to which
they were read, so that a restart neither loses nor doubles what the log still has.
"""

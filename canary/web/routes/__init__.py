"""One table of routes per service, and what is made of it: what is not in the table does not exist.

In comes a service's `table`; out go the models that `bodies` are read into and the description (`openapi`), so that
what is described is what `canary.web.checks` checks.
"""

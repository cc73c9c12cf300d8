"""Kubernetes' Gateway API: `section` is what a policy says, `route` what is read from and written into an HTTPRoute,
`driver` does so through the Kubernetes API. `kind` registers the whole.

A weight of an HTTPRoute is drawn for each request: it knows no customers.
"""

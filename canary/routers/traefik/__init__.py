"""Traefik, by its file provider: `section` is what a policy says, `config` the files, `driver` sets and reads back.

Customers are told apart by their address: it is all that Traefik's hash takes. `kind` registers the whole.
"""

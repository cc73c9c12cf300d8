"""Traefik, by its file provider or its HTTP provider: `section` is what a policy says, `config` the files and the
document that divides, `shown` what Traefik's API says is in force; `driver` writes the document into a file, `asked`
hands it to Traefiks that ask the receiver.

Customers are told apart by their address: it is all that Traefik's hash takes. `kind` registers the whole.
"""

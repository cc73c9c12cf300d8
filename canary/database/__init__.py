"""Addresses of databases as people and hosts write them, for the order database and the journal alike.

In comes a URL with any of the usual parameters; out go what the drivers understand (`url`), and PostgreSQL's own needs
behind a connection pooler (`postgres`).
"""

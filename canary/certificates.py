"""Whom a connection with TLS believes: the authority that the policy names, or those of this machine."""

import ssl
from pathlib import Path


def tls_context(ca_file: Path | str | None = None) -> ssl.SSLContext:
    """The context of a client that checks the server's certificate and name.

    From version 3.13 on Python refuses certificates that lack RFC 5280's key identifiers and usages. Those of
    authorities that shops made for themselves often do, and Prometheus, nginx and libpq take them; an upgrade of Python
    must not cut a receiver off from its servers, so every version checks the same.

    Raises:
        OSError: the file cannot be read, or holds no certificate (ssl's own errors are one).
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context

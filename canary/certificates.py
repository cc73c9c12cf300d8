"""Whom a connection with TLS believes (an authority that the policy names, or the machine's), and what it shows."""

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


def load_chain(context: ssl.SSLContext, certificate: Path | str, key: Path | str | None = None) -> None:
    """Show others this certificate; without a key's file, its own file holds the key.

    A key with a password is refused: OpenSSL would ask for it on the terminal, and a service wait there for good.

    Raises:
        OSError: a file cannot be read, or they do not fit (ssl's own errors are one).
    """
    context.load_cert_chain(certificate, key, password=lambda: "")

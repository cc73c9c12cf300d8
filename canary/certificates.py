"""Whom a connection with TLS believes (an authority that the policy names, or the machine's), and what it shows."""

import ssl
from pathlib import Path
from typing import Final


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


def untrusted(error: BaseException, authorities: str) -> str:
    """What to do where a server's certificate was not believed; empty for every other failure.

    Args:
        authorities: the policy's key that names whom to believe.
    """
    cause = getattr(error, "certificate_error", error)
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return ""
    return _REMEDIES.get(cause.verify_code) or f"name the authority that signed it in {authorities}"


# By OpenSSL's numbers (X509_V_ERR_*), which are part of its interface. Whatever else is wrong is about who signed it.
_REMEDIES: Final = {
    9: "see that the clocks of both machines are right, or give the server a certificate that is valid now",
    10: "give the server a new certificate, and see that this machine's clock is right",
    62: "ask by a name that is in it, or give the server one for this name",
    64: "ask by a name that is in it, or give the server one for this address",
}


def load_chain(context: ssl.SSLContext, certificate: Path | str, key: Path | str | None = None) -> None:
    """Show others this certificate; without a key's file, its own file holds the key.

    A key with a password is refused: OpenSSL would ask for it on the terminal, and a service wait there for good.

    Raises:
        OSError: a file cannot be read, or they do not fit (ssl's own errors are one).
    """
    context.load_cert_chain(certificate, key, password=lambda: "")

"""The files that a database's address names for TLS: looked at before the driver reads them.

A driver hands them to OpenSSL, which says "No such file or directory" or "no certificate found", and not of which of
three files. What it reads it also waits for: a pipe in a certificate's place would hold the service up for good. So
each file that the address names is read here first, and what is wrong is told with the parameter and the path. They are
read anew for each connection: a certificate that was replaced is in force with the next one.
"""

import ssl
from collections.abc import Collection, Iterable
from pathlib import Path

from canary import files
from canary.certificates import load_chain
from canary.database.parameters import Parameters
from canary.errors import reason

# A bundle of all authorities of a machine has some hundred kilobytes; lists of what was revoked have megabytes.
_MOST_BYTES = 64 * 1024**2


def look_at(
    parameters: Parameters,
    *,
    authorities: Collection[str],
    certificate: str,
    key: str,
    alone: bool = True,
) -> None:
    """Read what the address names.

    Args:
        parameters: the address's.
        authorities: names of the parameters with authorities, or with lists of what they revoked.
        certificate: name of the parameter with the client's own certificate.
        key: name of the parameter with its key.
        alone: whether a certificate without a key holds its key itself; else the driver looks for one elsewhere.

    Raises:
        DatabaseUnavailableError: a file cannot be read, or holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    read_all(parameters, (*authorities, certificate, key))
    for name in authorities:
        if path := parameters.values.get(name):
            _load(context, parameters, name, path)
    chain, private = parameters.values.get(certificate), parameters.values.get(key)
    if not chain or not (private or alone):
        return
    try:
        load_chain(context, chain, private)
    except (ssl.SSLError, OSError):  # OpenSSL's words are "PEM lib"
        what = f"names a certificate that cannot be used with its key: {chain}" + (f", {private}" if private else "")
        raise parameters.refused(certificate, what, f"give {key}, its own, without a password") from None


def read_all(parameters: Parameters, names: Iterable[str]) -> None:
    """Read the files of these parameters, as far as the address has them.

    Raises:
        DatabaseUnavailableError: one cannot be read.
    """
    for name in names:
        if not (path := parameters.values.get(name)):
            continue
        try:
            files.read(Path(path), _MOST_BYTES)
        except OSError as error:
            what = f"names a file that cannot be read ({reason(error)}): {path}"
            raise parameters.refused(name, what, "let this user read it, or correct the path") from None


def _load(context: ssl.SSLContext, parameters: Parameters, name: str, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        what = f"names a file with no certificates ({reason(error)}): {path}"
        raise parameters.refused(name, what, "name a PEM file with the server's authority") from None

"""Whom connections with TLS believe."""

import asyncio
import ssl
from pathlib import Path

import pytest

from canary.certificates import tls_context
from tests.support.web.certificates import Authority


async def _meet(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Shake hands, once."""
    served = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=server)
    async with served:
        port = served.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        writer.close()


async def test_an_authority_of_ones_own_is_believed_and_no_other(tmp_path: Path) -> None:
    """A certificate without key identifiers passes on every Python; another authority's, or another name, does not."""
    authority, stranger = Authority(tmp_path / "own"), Authority(tmp_path / "other")
    certificate, key = authority.issue("server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)

    await _meet(server, tls_context(authority.certificate), "localhost")
    for context, name in (
        (tls_context(stranger.certificate), "localhost"),
        (tls_context(authority.certificate), "shop"),
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            await _meet(server, context, name)

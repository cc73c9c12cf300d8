"""Requests that nobody sends in good faith, byte by byte: what is before, around and instead of HTTP."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

_SMUGGLED = b"POST /api/v1/rollback HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\r\n"
_PATIENCE_SECONDS = 120.0
"""For a server that never answers at all."""


@dataclass(frozen=True)
class Hostile:
    """One kind of request.

    Attributes:
        name: for messages.
        data: what is sent.
        cut: whether the sender says no more in the middle of it, and hangs up.
    """

    name: str
    data: bytes
    cut: bool = False


def hostile(method: str, path: str, host: str, headers: str = "", body: bytes = b"{}") -> Iterator[Hostile]:
    """All kinds of requests to one route, with the right *headers* and *body* where they are of no matter."""
    line = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}"
    length = f"Content-Length: {len(body)}\r\n"
    for name, more in _HEADERS.items():
        yield Hostile(name, f"{line}{more}{length}Connection: close\r\n\r\n".encode("latin-1") + body)
    for name, target in _targets(path).items():
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}Connection: close\r\n\r\n"
        yield Hostile(name, head.encode() + body)
    for name, first in _lines(method, path).items():
        yield Hostile(name, f"{first}Host: {host}\r\n{headers}{length}Connection: close\r\n\r\n".encode() + body)
    for name, (framing, sent) in _BODIES.items():
        yield Hostile(name, f"{line}{framing}Connection: close\r\n\r\n".encode() + sent, cut=True)
    for name, text in _JSON.items():
        said = f"{line}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        yield Hostile(name, said.encode() + text)
    smuggled = _SMUGGLED.replace(b"{host}", host.encode())
    whole = f"{line}{length}\r\n".encode() + body
    yield Hostile("pipelined", whole * 20, cut=True)
    yield Hostile(
        "both lengths", f"{line}{length}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode() + smuggled, cut=True
    )
    yield Hostile("a second request in the body", f"{line}Content-Length: 0\r\n\r\n".encode() + smuggled, cut=True)
    yield Hostile("no end", line.encode(), cut=True)


_HEADERS = {
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    "another upgrade": "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
    "a header of 64 kB": f"X: {'a' * 65_536}\r\n",
    "2,000 headers": "".join(f"X-{number}: a\r\n" for number in range(2000)),
    "a NUL in a header": "X: a\0b\r\n",
    "a folded header": "X: a\r\n b\r\n",
    "a header without a name": ": a\r\n",
    "a blank before the colon": "Transfer-Encoding : chunked\r\n",
    "no ASCII in a header": "Accept: \xff\xfe\r\nCookie: \xff=\xe4\r\n",
    "two hosts": "Host: evil.example\r\n",
    "two lengths": "Content-Length: 5\r\n",
    "a length below nothing": "Content-Length: -1\r\n",
    "a length of thirty digits": f"Content-Length: {10**30}\r\n",
    "ranges": f"Range: bytes={','.join(f'{n}-{n}' for n in range(500))}\r\nIf-Range: x\r\n",
    "conditions": 'If-None-Match: *\r\nIf-Match: "\r\nIf-Modified-Since: Thu, 32 Foo 9999 99:99:99 GMT\r\n',
    "an expectation": "Expect: the-impossible\r\n",
    "qualities": "Accept: */*;q=nan, a/b;q=-1, ;;;\r\nAccept-Encoding: gzip;q=1e309, \xe4\r\nAccept-Language: \xff\r\n",
    "a credential that is none": "Authorization: Basic \xff\xff=\r\nAuthorization: Bearer \xe4\r\n",
    "a cookie without an end": f'Cookie: canary_session="{"a" * 4000}\r\n',
    "a type that is none": "Content-Type: application/json; charset=\xff; charset=utf-99\r\n",
    "a packing that is none": "Content-Encoding: gzip, gzip, br, x\r\n",
    "a scrape's limit": "X-Prometheus-Scrape-Timeout-Seconds: -1e999\r\n",
    "forwarded": "X-Forwarded-For: ::::, 999.1.1.1, \xff\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=\xff\r\n",
    "a place in a stream": "Last-Event-ID: \xff\x7f\r\n",
    "another site's": "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\nReferer: \xff\r\n",
}
"""Further headers of a request that is sound otherwise."""

_BODIES = {
    "a chunk that is none": ("Transfer-Encoding: chunked\r\n", b"ZZ\r\n{}"),
    "a chunk below nothing": ("Transfer-Encoding: chunked\r\n", b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk of all memory": ("Transfer-Encoding: chunked\r\n", b"FFFFFFFFFFFFFFFF0\r\n{}"),
    "a chunk's extension": ("Transfer-Encoding: chunked\r\n", b"2;" + b"a" * 20_000 + b"\r\n{}\r\n0\r\n\r\n"),
    "half a chunk": ("Transfer-Encoding: chunked\r\n", b"400\r\n{}"),
    "trailers": ("Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n"),
    "another coding": ("Transfer-Encoding: gzip, chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    "two codings": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    "half a body": ("Content-Length: 1000\r\n", b"{"),
    "garbage that is packed": ("Content-Encoding: deflate\r\nContent-Length: 7\r\n", b"garbage"),
}
"""How a body is framed, and what comes of it."""

_JSON = {
    "a deep body": b"[" * 100_000,
    "no UTF-8": b'{"reason": "\xff\xfe"}',
    "half a pair": b'{"reason": "\\ud800"}',
    "a number of 10,000 digits": b'{"to": ' + b"1" * 10_000 + b"}",
    "a number without bounds": b'{"to": 1e999999, "weight": NaN, "until": -Infinity}',
    "a mark of the byte order": b"\xef\xbb\xbf{}",
    "keys twice": b'{"reason": "a", "reason": {"b": []}, "__proto__": 1, "": null}',
    "a form": b"a=%ff%00&form_key=%E2%80&a=a&=&&&%",
    "nothing": b"",
}


def _targets(path: str) -> dict[str, str]:
    return {
        "a NUL in the path": f"{path}%00",
        "no UTF-8 in the path": f"{path}%ff%fe",
        "an encoded slash": f"{path}%2f..%2f..%2fetc%2fpasswd",
        "dots": f"{path}/../../../../etc/passwd",
        "letters beyond ASCII": f"{path}/\u00e4\u202e\U0001f4a3",
        "dots of another width": f"{path}/%ef%bc%8e%ef%bc%8e/x",
        "a query that is none": f"{path}?%00=%ff&rollout=%00&name[]=a&&==%",
        "a query of 7 kB": f"{path}?{'a=b&' * 1800}",
        "a path of 100 kB": f"{path}/{'a' * 100_000}",
        "another site's address": f"http://evil.example{path}",
        "a scheme of another kind": f"gopher://evil.example:70{path}",
        "an address that is none": f"http://[::1{path}",
        "no path": "*",
        "a fragment": f"{path}#<script>",
    }


def _lines(method: str, path: str) -> dict[str, str]:
    return {
        "no version": f"{method} {path}\r\n",
        "another version": f"{method} {path} HTTP/9.9\r\n",
        "the next version": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "an old version": f"{method} {path} HTTP/1.0\r\n",
        "small letters": f"{method.lower()} {path} HTTP/1.1\r\n",
        "a tunnel": "CONNECT evil.example:80 HTTP/1.1\r\n",
        "a method of 10 kB": f"{'A' * 10_000} {path} HTTP/1.1\r\n",
        "a line in the line": f"{method} {path} HTTP/1.1\rX: y\nZ: z\r\n",
        "empty lines before": f"\r\n\r\n{method} {path} HTTP/1.1\r\n",
        "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }


async def answer(port: int, request: Hostile, *, head_only: bool = False) -> bytes:
    """What a server on this machine says to a request, until it hangs up; of an answer without an end its head."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        try:
            writer.write(request.data)
            if request.cut:
                writer.write_eof()
            if head_only:
                return await reader.readuntil(b"\r\n\r\n")
            return await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):  # it hung up while we were speaking
            return b""
        finally:
            writer.close()

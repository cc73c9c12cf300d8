"""Who may ask: basic authentication and client certificate names, for all paths but those that check for themselves."""

import asyncio
import binascii
import hashlib
import hmac
import secrets
from base64 import b64decode
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

import bcrypt
from aiohttp import web
from aiohttp.typedefs import Handler

from canary.webconfig import WebConfig

# Compared with when the user is unknown, so that the time taken does not tell which users exist.
_NOBODY = b"$2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
_REMEMBERED = 100


class Guard:
    """Checks requests against the web configuration that is valid at that moment.

    bcrypt is slow on purpose, so it runs in one thread of its own, one comparison at a time, and its answers are
    remembered under a key that only this process knows.
    """

    def __init__(self, config: Callable[[], WebConfig], *, open_paths: Collection[str] = ()) -> None:
        self._config = config
        self._open_paths = frozenset(open_paths)
        self._thread = ThreadPoolExecutor(1, "bcrypt")
        self._salt = secrets.token_bytes(32)
        self._answers: dict[bytes, bool] = {}

    def close(self) -> None:
        """Give the thread back."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def middleware(self) -> Callable[[web.Request, Handler], object]:
        """Refuses with 403 a client whose certificate has none of the allowed names, with 401 an unknown user."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            config = self._config()
            if config.allowed_names and not _names(request) & config.allowed_names:
                raise web.HTTPForbidden(text="the client certificate has none of the allowed names\n")
            if config.users and request.path not in self._open_paths and not await self._knows(config, request):
                raise web.HTTPUnauthorized(
                    text="Unauthorized\n", headers={"WWW-Authenticate": 'Basic realm="kpi-canary", charset="UTF-8"'}
                )
            return await handler(request)

        return check

    async def _knows(self, config: WebConfig, request: web.Request) -> bool:
        credentials = _basic(request.headers.get("Authorization", ""))
        if credentials is None:
            return False
        user, password = credentials
        known = config.users.get(user)
        secret = known or _NOBODY
        key = hmac.digest(self._salt, b"\0".join((user.encode(), secret, password)), hashlib.sha256)
        if key not in self._answers:
            loop = asyncio.get_running_loop()
            matches = await loop.run_in_executor(self._thread, _matches, password, secret)
            while len(self._answers) >= _REMEMBERED:
                self._answers.pop(next(iter(self._answers)))
            self._answers[key] = matches
        return self._answers[key] and known is not None


def _matches(password: bytes, secret: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:72], secret)  # bcrypt looks at no more than 72 bytes
    except ValueError:
        return False


def _basic(header: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, separator, password = b64decode(encoded, validate=True).partition(b":")
        return (user.decode(), password) if separator else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _names(request: web.Request) -> frozenset[str]:
    certificate = (request.transport.get_extra_info("peercert") if request.transport else None) or {}
    return frozenset(name for _, name in certificate.get("subjectAltName", ()))

"""Who may ask at all: client certificates' names, and users with passwords, as the web configuration has them."""

import asyncio
import binascii
import hashlib
import hmac
import secrets
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import bcrypt
from aiohttp import web

from canary.web.config import WebConfig
from canary.web.routes.table import Refusal
from canary.web.strangers.attempts import Attempts

# Compared with when the user is unknown, so that the time taken does not tell which users exist.
_NOBODY = b"$2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

# Answers kept of each kind: Prometheus and some people ask, each with one password, and guesses must not fill memory.
_REMEMBERED = 100


_PROVEN = web.RequestKey("proven_name", str)


def prove(request: web.Request, name: str) -> None:
    """Remember by which name the sender of a request has shown a token or a password of their own."""
    request[_PROVEN] = name


def proven_name(request: web.Request) -> str:
    """The sender's name as it was proven; empty where it was not, whatever they say of themselves."""
    name: str = request.get(_PROVEN, "")
    return name


class Users:
    """Checks requests against the web configuration that is valid at that moment.

    bcrypt is slow on purpose, so it runs in one thread of its own, one comparison at a time, and its answers are
    remembered under a key that only this process knows. Who guesses must not keep Prometheus out, whose scrapes would
    wait behind the guesses: right answers are remembered apart, so that no guess pushes them out, and of one address
    only so many passwords are compared, those that still wait among them.

    Args:
        attempts: counts wrong passwords by address.
    """

    def __init__(self, config: Callable[[], WebConfig], attempts: Attempts) -> None:
        self._config = config
        self._attempts = attempts
        self._thread = ThreadPoolExecutor(1, "bcrypt")
        self._salt = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._wrong: dict[bytes, None] = {}

    def close(self) -> None:
        """Give the thread back."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def needed(self) -> bool:
        """Whether a client certificate or a password is needed to ask at all."""
        return bool(self._config().allowed_names or self._config().users)

    async def admit(self, request: web.Request, address: str, *, password: bool) -> None:
        """Let a request in.

        Args:
            address: the client's.
            password: whether a user's password is needed, where there are users.

        Raises:
            Refusal: 403 for a client whose certificate has none of the allowed names, 401 for an unknown user, 429 for
                one of whose address too many passwords were wrong lately.
        """
        config = self._config()
        if config.allowed_names and not _names(request) & config.allowed_names:
            raise Refusal(HTTPStatus.FORBIDDEN, "the client certificate has none of the allowed names")
        if config.users and password and not await self._knows(config, request, address):
            challenge = {"WWW-Authenticate": 'Basic realm="kpi-canary", charset="UTF-8"'}
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Unauthorized", headers=challenge)

    async def _knows(self, config: WebConfig, request: web.Request, address: str) -> bool:
        credentials = _basic(request.headers.get("Authorization", ""))
        if credentials is None:
            return False
        user, password = credentials
        known = config.users.get(user)
        secret = known or _NOBODY
        key = hmac.digest(self._salt, b"\0".join((user.encode(), secret, password)), hashlib.sha256)
        if key not in self._right and (key in self._wrong or not await self._compared(key, password, secret, address)):
            return False
        if known is None:
            return False
        prove(request, user)
        return True

    async def _compared(self, key: bytes, password: bytes, secret: bytes, address: str) -> bool:
        if self._attempts.too_many(address):
            what = "too many wrong passwords from your address"
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, what, remedy="wait a minute")
        # Wrong until it is found right: those that wait in line count too.
        self._attempts.failed(address)
        matches = await asyncio.get_running_loop().run_in_executor(self._thread, _matches, password, secret)
        if matches:
            self._attempts.forgive(address)
        answers = self._right if matches else self._wrong
        while len(answers) >= _REMEMBERED:
            answers.pop(next(iter(answers)))
        answers[key] = None
        return matches


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

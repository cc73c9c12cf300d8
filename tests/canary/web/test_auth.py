"""Users and their passwords: who guesses is stopped, and keeps nobody else out."""

import asyncio
from base64 import b64encode

import bcrypt
import pytest
from aiohttp.test_utils import make_mocked_request

from canary.testing.clock import FakeClock
from canary.web import auth
from canary.web.auth import Users, proven_name
from canary.web.config import WebConfig
from canary.web.routes.table import Refusal
from canary.web.strangers.attempts import Attempts

HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4))


class Door:
    """Users of a configuration with one user, and how often bcrypt was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.compared = 0
        self.clock = FakeClock()
        self.users = Users(lambda: WebConfig(users={"prometheus": HASH}), Attempts(self.clock))
        compare = auth._matches

        def counted(password: bytes, secret: bytes) -> bool:
            self.compared += 1
            return compare(password, secret)

        monkeypatch.setattr(auth, "_matches", counted)

    async def status(self, password: str, address: str = "10.0.0.1", user: str = "prometheus") -> int:
        """What a request with a password is answered."""
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        request = make_mocked_request("GET", "/metrics", {"Authorization": f"Basic {credentials}"})
        try:
            await self.users.admit(request, address, password=True)
        except Refusal as refusal:
            return refusal.status
        assert proven_name(request) == user
        return 200


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """One that is not looked at yet."""
    return Door(monkeypatch)


async def test_guesses_of_one_address_are_soon_compared_no_more(door: Door) -> None:
    """Nor those that wait at the same time; another address, and a password that is known, are let in."""
    assert await door.status("right") == 200
    guesses = [door.status(f"guess-{number}") for number in range(50)]
    assert sorted(await asyncio.gather(*guesses)) == [401] * 10 + [429] * 40
    assert door.compared == 11
    assert await door.status("right") == 200
    assert await door.status("wrong", "10.0.0.2") == 401
    door.clock.advance(61)
    assert await door.status("guess-50") == 401


async def test_guesses_push_no_right_password_out(door: Door) -> None:
    """However many addresses guess: Prometheus does not wait behind them once more."""
    assert await door.status("right") == 200
    for number in range(150):
        assert await door.status(f"guess-{number}", f"10.0.1.{number}", user=f"u{number}") == 401
    compared = door.compared
    assert await door.status("right") == 200
    assert door.compared == compared


async def test_right_passwords_are_no_attempts(door: Door) -> None:
    """Twenty people behind one address sign in."""
    users = {f"u{number}": bcrypt.hashpw(b"right", bcrypt.gensalt(4)) for number in range(20)}
    door.users = Users(lambda: WebConfig(users=users), Attempts(door.clock))
    assert [await door.status("right", user=user) for user in users] == [200] * 20

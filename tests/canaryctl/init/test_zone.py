"""The zone of times that are stored without one."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from canaryctl.init.zone import guess_zone

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def stored(zone: str | None, minutes_old: float) -> Callable[[str], Awaitable[float | None]]:
    """Reads the newest row of a shop whose clock runs in a zone; None: its times carry their zone."""

    async def newest(read_in: str) -> float:
        moment = NOW.timestamp() - minutes_old * 60
        if zone is None:
            return moment
        shown = datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=ZoneInfo(read_in))
        return shown.timestamp()

    return newest


@pytest.mark.parametrize(
    ("shop", "minutes_old", "servers", "guessed", "why"),
    [
        (None, 600, ["Europe/Berlin"], "UTC", "carry their zone"),
        ("UTC", 1, ["Europe/Berlin"], "UTC", "just come in"),
        ("Europe/Berlin", 1, ["Etc/UTC", "Europe/Berlin"], "Europe/Berlin", "server's own"),
        ("America/New_York", 10, ["America/New_York"], "America/New_York", "server's own"),
        ("Europe/Berlin", 1, [], "UTC", "nothing in the database"),
        ("Europe/Berlin", 600, ["Europe/Berlin"], "UTC", "nothing in the database"),
    ],
)
def test_a_zone_is_taken_where_the_newest_row_speaks_for_it(
    shop: str | None, minutes_old: float, servers: list[str], guessed: str, why: str
) -> None:
    """Ahead of UTC and behind it; a shop that sells nothing now says nothing about its zone."""
    guess = asyncio.run(guess_zone(stored(shop, minutes_old), servers, NOW.timestamp()))

    assert (guess.zone, guess.needed) == (guessed, shop is not None)
    assert why in guess.why


def test_an_empty_shop_is_read_in_utc() -> None:
    """No row, no guess."""

    async def nothing(_: str) -> None:
        return None

    assert asyncio.run(guess_zone(nothing, ["Europe/Berlin"], 0.0)).zone == "UTC"

"""The zone of times that are stored without one."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from canaryctl.init.zone import guess_zone

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def read(zone: str | None, minutes_old: float, read_in: str) -> float:
    """A moment that a shop's clock in a zone has stored, read in another; None: it was stored with its zone."""
    moment = NOW.timestamp() - minutes_old * 60
    if zone is None:
        return moment
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=ZoneInfo(read_in)).timestamp()


def stored(zone: str | None, minutes_old: float) -> Callable[[str], Awaitable[dict[str, float]]]:
    """Reads the newest row of a shop with one event."""

    async def newest(read_in: str) -> dict[str, float]:
        return {"orders": read(zone, minutes_old, read_in)}

    return newest


@pytest.mark.parametrize(
    ("shop", "minutes_old", "servers", "guessed", "why"),
    [
        (None, 600, ["Europe/Berlin"], "UTC", "carry their zone"),
        ("UTC", 1, ["Europe/Berlin"], "UTC", "just come in"),
        ("Europe/Berlin", 1, ["Etc/UTC", "Europe/Berlin"], "Europe/Berlin", "server's own"),
        ("America/New_York", 10, ["America/New_York"], "America/New_York", "server's own"),
        ("Europe/Berlin", 1, [], "UTC", "nothing that could be read"),
        ("Europe/Berlin", 600, ["Europe/Berlin"], "UTC", "nothing that could be read"),
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

    async def nothing(_: str) -> dict[str, float]:
        return {}

    assert asyncio.run(guess_zone(nothing, ["Europe/Berlin"], 0.0)).zone == "UTC"


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin"])
def test_an_event_whose_times_carry_their_zone_does_not_speak_for_the_others(zone: str) -> None:
    """Orders with their zone are newer than visits that are read hours too early; of these the zone must be found."""

    async def newest(read_in: str) -> dict[str, float]:
        return {"orders": read(None, 1, read_in), "visits": read(zone, 2, read_in)}

    guess = asyncio.run(guess_zone(newest, [zone], NOW.timestamp()))

    assert (guess.zone, guess.needed) == (zone, True)


def test_a_row_that_comes_in_meanwhile_is_no_zone() -> None:
    """A shop that sells has another newest row at each look."""
    ages = iter([3.0, 2.9, 2.8])

    async def newest(read_in: str) -> dict[str, float]:
        return {"orders": read(None, next(ages), read_in)}

    assert not asyncio.run(guess_zone(newest, ["Europe/Berlin"], NOW.timestamp())).needed

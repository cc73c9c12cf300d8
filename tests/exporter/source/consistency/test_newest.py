"""The newest rows of an event: found by their time, else by their id, with their moments as the exporter has them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from canary.policy import Policy
from exporter.source.consistency.newest import ID, MOMENT, NEWEST, VERSION, NewestRows, newest_rows
from exporter.source.database import Patience
from exporter.source.session import order_session
from tests.canaryctl.check.shop.test_database import change
from tests.support.clock import FakeClock

Write = Callable[[str], Policy]

_URL = "database:\n  url: sqlite:///shop.db\n"
_EVENTS = "  events: {orders: {table: orders, unit: visitor, time: at, version: version, value: total}}\n"
_KPIS = "kpis: {average_order_value: {kind: mean, of: orders}}\n"


@pytest.fixture
async def looked(tmp_path: Path, write_policy: Write, clock: FakeClock) -> "Look":
    """Looks at the orders of a table with these rows."""
    return Look(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}", write_policy, clock)


class Look:
    """A table of orders, and how its newest rows are read."""

    def __init__(self, url: str, write_policy: Write, clock: FakeClock) -> None:
        self._url, self._write_policy, self._clock = url, write_policy, clock

    def ago(self, **since: float) -> str:
        """A moment as a text, in quotes."""
        return f"'{self._clock.now() - timedelta(**since):%Y-%m-%d %H:%M:%S}'"

    async def __call__(self, times: Sequence[str], more: str = "", events: str = _EVENTS) -> NewestRows:
        """The newest rows of orders with ids from 1 and these times."""
        rows = [f"({number}, 'u{number}', 'v1', 9, {at})" for number, at in enumerate(times, 1)]
        table = "orders (id INTEGER PRIMARY KEY, visitor TEXT, version TEXT, total REAL, at TEXT)"
        await change(self._url, f"CREATE TABLE {table}", f"INSERT INTO orders VALUES {', '.join(rows)}")
        policy = self._write_policy(f"{_URL}{events}{more}{_KPIS}")
        event, now = policy.database.events["orders"], self._clock.now().timestamp()
        async with order_session(policy, Patience.STUDY) as session:
            return await newest_rows(policy, session, "orders", event, lambda place: ".".join(map(str, place)), now)


async def test_the_newest_by_their_time_come_first_and_no_more_than_are_looked_at(looked: Look) -> None:
    """Whatever order the ids have; what is older is not read."""
    found = await looked([looked.ago(minutes=number) for number in range(1, NEWEST + 6)])

    assert [row[ID] for row in found.rows] == list(range(1, NEWEST + 1))
    assert found.moments == sorted(found.moments, reverse=True)
    assert found.at("time") == "database.events.orders.time"


async def test_rows_out_of_all_bounds_are_found_by_their_id(looked: Look) -> None:
    """A shop whose times are far from now has rows; its newest are those with the largest ids."""
    found = await looked(["'1970-01-02 00:00:00'", "'1970-01-01 00:01:00'"])

    assert [row[ID] for row in found.rows] == [2, 1]
    assert [round(moment) for moment in found.moments] == [60, 86400]


async def test_rows_of_now_hide_what_is_out_of_bounds(looked: Look) -> None:
    """As soon as one row is within the bounds, only such are looked at; a row without a time never is."""
    found = await looked(["'1970-01-02 00:00:00'", looked.ago(minutes=1), "NULL"])

    assert [row[ID] for row in found.rows] == [2]


async def test_moments_are_those_of_the_shops_clock(looked: Look, clock: FakeClock) -> None:
    """Times without a zone are read in the zone that the policy names."""
    found = await looked([looked.ago(hours=-5, minutes=1)], "  timezone: Asia/Karachi\n")

    assert [round(moment) for moment in found.moments] == [int(clock.now().timestamp()) - 60]
    assert found.settled == [None]


async def test_a_version_that_is_computed_is_shown_as_that(looked: Look) -> None:
    """Where the router's hash tells a row's version, the customer that is in its place is told to nobody."""
    events = _EVENTS.replace("version: version", "version: null")
    found = await looked(
        [looked.ago(minutes=1)],
        "  assignments: {from: router}\nrouter: {kind: haproxy, sockets: [/run/a.sock], map: /tmp/a.map}\n",
        events,
    )

    assert [row[VERSION] for row in found.rows] == ["computed"]
    assert found.rows[0][MOMENT] is not None

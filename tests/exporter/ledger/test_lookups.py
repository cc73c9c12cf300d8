"""Assignments and pairs of another database than the events they serve."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from canary.errors import DatabaseSourceError, DatabaseTimeoutError
from canary.policy.database.section import Assignments, Event, Identities
from canary.policy.database.sources import Source
from canary.policy.kpis import Conversion, Kpi, Mean
from canary.policy.model import Policy
from canary.threads import SharedThreads
from exporter.ledger.lookups import Lookups
from exporter.publish.counters import Counters
from exporter.refresher import Refresher
from exporter.source.assignments.routed import LEFT_OUT
from exporter.source.database import Patience, Row, Session
from exporter.source.sources import order_sources
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, published, refresher_on, settle, with_events

_ORDERS = Event(table="orders", version=None, unit="account", identity="accounts", value="total", currency="currency")
_VISITS = Event(table="visits", source="web", version=None, unit="cookie")
_SERVED = Assignments(table="served", source="web", unit="cookie", time="since", time_unit="seconds", tester="staff")
_LOGINS = Identities(table="logins", source="web", unit="cookie", known_as="account", time="at", time_unit="seconds")


class Two:
    """A shop's orders in one file, and what its web servers wrote in another."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.web_file = folder / "web.db"
        self._clock = clock
        self._shop, self._web = sqlite3.connect(folder / "shop.db"), sqlite3.connect(self.web_file)
        self._shop.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, account INT, total REAL, created_at TEXT,"
            " currency TEXT DEFAULT 'EUR')"
        )
        self._web.executescript(
            "CREATE TABLE visits (id INTEGER PRIMARY KEY, cookie TEXT, created_at TEXT);"
            "CREATE TABLE served (cookie TEXT, version TEXT, since REAL, staff INT);"
            "CREATE TABLE logins (cookie TEXT, account TEXT, at REAL);"
        )
        events = {"visits": _VISITS, "orders": _ORDERS}
        given = policy_for(f"sqlite:///{folder}/shop.db", events=events, assignments=_SERVED)
        wanted: dict[str, Kpi] = {
            "order_rate": Conversion(kind="conversion", from_="visits", to="orders"),
            "average_order_value": Mean(kind="mean", of="orders"),
        }
        database = replace(
            given.database,
            sources={"web": Source(url=f"sqlite:///{self.web_file}")},
            identities={"accounts": _LOGINS},
        )
        self.policy: Policy = replace(given, kpis=wanted, database=database)

    def at(self, seconds_ago: float) -> float:
        """A moment so long ago."""
        return self._clock.now().timestamp() - seconds_ago

    def order(self, account: int, seconds_ago: float, total: float = 10.0) -> None:
        """An account buys."""
        when = (self._clock.now() - timedelta(seconds=seconds_ago)).isoformat(sep=" ", timespec="milliseconds")
        self._shop.execute("INSERT INTO orders (account, total, created_at) VALUES (?, ?, ?)", (account, total, when))
        self._shop.commit()

    def visit(self, cookie: str, seconds_ago: float) -> None:
        """A browser comes."""
        when = (self._clock.now() - timedelta(seconds=seconds_ago)).isoformat(sep=" ", timespec="milliseconds")
        self._web.execute("INSERT INTO visits (cookie, created_at) VALUES (?, ?)", (cookie, when))
        self._web.commit()

    def served(self, cookie: str, version: str, seconds_ago: float, staff: int = 0) -> None:
        """A browser is given a version."""
        self._web.execute("INSERT INTO served VALUES (?, ?, ?, ?)", (cookie, version, self.at(seconds_ago), staff))
        self._web.commit()

    def login(self, cookie: str, account: int, seconds_ago: float) -> None:
        """An account signs in by a browser."""
        self._web.execute("INSERT INTO logins VALUES (?, ?, ?)", (cookie, str(account), self.at(seconds_ago)))
        self._web.commit()

    def web(self, statement: str) -> None:
        """Change what the web servers wrote."""
        self._web.execute(statement)
        self._web.commit()

    def close(self) -> None:
        """Let go of both."""
        self._shop.close()
        self._web.close()


@pytest.fixture
def two(tmp_path: Path, clock: FakeClock) -> Iterator[Two]:
    """Two databases without a row."""
    with contextlib.closing(Two(tmp_path, clock)) as found:
        yield found


async def test_orders_have_the_version_that_the_other_database_says(two: Two, clock: FakeClock) -> None:
    """To the moment: the last assignment of the browser that its account signed in with last; repeated rows count once,
    testers nowhere, unknown ones as unknown, and what was assigned long ago is known.
    """
    two.served("a", "v1", 90 * 86400)
    for _ in range(2):  # a duplicate, and a change of sides a second before the second order
        two.served("b", "v1", 4000)
        two.served("b", "v2", 601)
        two.login("b", 2, 3900)
    two.login("a", 1, 80 * 86400)
    two.served("t", "v2", 5000, staff=1)
    two.login("t", 9, 4000)
    for cookie in ("a", "b", "t"):
        two.visit(cookie, 1300)
    two.order(1, 1200, 1)
    two.order(2, 1200, 2)
    two.order(2, 600, 4)
    two.order(7, 600, 8)
    two.order(9, 600, 1000)

    async with refresher_on(two.policy, clock) as refresher:
        await settle(refresher, clock, 40)
        found, shown = published(refresher), kpis(refresher)
        shares = {name: share.ratio for name, share in refresher.snapshot.unknown_versions.items()}

    assert found["shop_visits_total"] == {("v1",): 2.0}
    assert found["shop_orders_total"] == {("v1",): 2.0, ("v2",): 1.0, ("unknown",): 1.0}
    assert found["shop_order_value_total"] == {("v1", "EUR"): 3.0, ("v2", "EUR"): 4.0, ("unknown", "EUR"): 8.0}
    assert shown["order_rate", "v1"] == 1.0  # the judge joins visits and orders by the cookie
    assert shares == {"visits": 0.0, "orders": 0.25}


async def test_late_changed_and_deleted_assignments_reach_their_rows(two: Two, clock: FakeClock) -> None:
    """A row moves to its version when that is known, once, and back when it is taken away again."""
    two.login("a", 1, 4000)
    two.order(1, 60)
    async with refresher_on(two.policy, clock) as refresher:
        await settle(refresher, clock, 40)
        orders = next(feed.ledger for feed in refresher.feeds if feed.stream.event == "orders")
        counts = [{key.version: tally.rows for key, tally in orders.totals.items()}]
        for change in ("", "UPDATE served SET version = 'v3'", "DELETE FROM served"):
            two.web(change) if change else two.served("a", "v2", 30)
            clock.advance(two.policy.database.lateness / 12 + 1)
            await refresher.refresh()
            counts.append({key.version: tally.rows for key, tally in orders.totals.items()})

    assert counts == [{"unknown": 1}, {"v2": 1}, {"v3": 1}, {"unknown": 1}]


async def test_without_the_assignments_nothing_is_counted_wrongly(two: Two, clock: FakeClock) -> None:
    """Events are unread while the other database is away, at the start and later, and lose nothing by it."""
    two.served("a", "v1", 7200)
    two.login("a", 1, 7200)
    two.order(1, 100)
    away = two.web_file.with_suffix(".away")
    two.web_file.rename(away)
    async with refresher_on(two.policy, clock) as refresher:
        await refresher.refresh()
        before = published(refresher)
        faults = {feed.stream.event: type(feed.fault) for feed in refresher.feeds}
        away.rename(two.web_file)
        clock.advance(10)
        await settle(refresher, clock, 40)
        there = published(refresher)["shop_orders_total"]
        two.web("ALTER TABLE served RENAME TO gone")
        for _ in range(3):
            two.order(1, 0)
            clock.advance(1200)
            await refresher.refresh()
        meanwhile = refresher.snapshot
        counted = published(refresher)["shop_orders_total"]
        two.web("ALTER TABLE gone RENAME TO served")
        clock.advance(10)
        await settle(refresher, clock, 40)

        assert faults == dict.fromkeys(("visits", "orders"), DatabaseSourceError)
        assert "shop_orders_total" not in before
        assert there == {("v1",): 1.0}
        assert meanwhile.blind
        assert counted == there
        assert published(refresher)["shop_orders_total"] == {("v1",): 4.0}


async def test_memory_is_bounded(two: Two, clock: FakeClock) -> None:
    """Of more rows than fit the oldest are forgotten, those that are there at the start and those that come."""
    for number in range(40):
        two.served(str(number), "v1", 86400 * (40 - number) + 10)
    async with order_sources(two.policy, Patience.LIVE) as sources:
        streams = [stream for stream, _ in sources.streams(two.policy)]
        versions = Lookups.of(two.policy, sources, streams, most=20).versions
        assert versions is not None
        now = clock.now().timestamp()
        with pytest.raises(DatabaseSourceError, match="not read yet"):
            versions.version("39", now)
        await versions.look(now)
        known = {number for number in range(40) if versions.version(str(number), now)}
        two.served("new", "v2", 1)
        two.served("staff", "v2", 1, staff=1)
        await versions.look(now + 1)

        assert versions.forgotten
        assert 39 in known
        assert 0 not in known
        assert len(known) <= 22
        asked = [versions.version(unit, now) for unit in ("new", "staff", "nobody", None)]
        assert asked == ["v2", LEFT_OUT, None, None]


async def test_a_first_look_that_is_cut_short_settles_nothing_too_early(
    two: Two, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that may still change are read again, however often the past before them could not be read."""
    two.served("a", "v1", 60)
    async with order_sources(two.policy, Patience.LIVE) as sources:
        session = sources.sessions["web"]
        asked = session.rows

        async def slow(statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
            if "min(" in str(statement):
                raise DatabaseTimeoutError("too slow")
            return await asked(statement, parameters)

        versions = Lookups.of(two.policy, sources, [stream for stream, _ in sources.streams(two.policy)]).versions
        assert versions is not None
        now = clock.now().timestamp()
        with monkeypatch.context() as slowed:
            slowed.setattr(session, "rows", slow)
            with pytest.raises(DatabaseTimeoutError):
                await versions.look(now)
        await versions.look(now + 5)
        before = versions.version("a", now)
        two.web("DELETE FROM served")
        await versions.look(now + 5 + two.policy.database.lateness / 12)

        assert before == "v1"
        assert versions.version("a", now) is None


async def test_what_no_database_error_says_is_a_fault_too(
    two: Two, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's version is told while a driver stumbles over the table, whatever it calls that."""
    two.served("a", "v1", 60)
    async with order_sources(two.policy, Patience.LIVE) as sources:
        versions = Lookups.of(two.policy, sources, [stream for stream, _ in sources.streams(two.policy)]).versions
        assert versions is not None
        now = clock.now().timestamp()
        await versions.look(now)

        async def stumbling(*_: object) -> Sequence[Row]:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

        with monkeypatch.context() as changed:
            changed.setattr(sources.sessions["web"], "rows", stumbling)
            with pytest.raises(UnicodeDecodeError):
                await versions.look(now + 5)
        with pytest.raises(DatabaseSourceError, match="not UTF-8"):
            versions.version("a", now)
        await versions.look(now + 10)

        assert versions.version("a", now) == "v1"


async def test_what_is_older_than_the_forgotten_stays_so(two: Two, clock: FakeClock) -> None:
    """Or a customer would have the version before the one that was forgotten."""
    two.served("early", "v1", 86400 * 900)
    for number in range(20):
        two.served(str(number), "v1", 86400)
    async with order_sources(two.policy, Patience.LIVE) as sources:
        streams = [stream for stream, _ in sources.streams(two.policy)]
        versions = Lookups.of(two.policy, sources, streams, most=19).versions
        assert versions is not None
        now = clock.now().timestamp()
        await versions.look(now)
        for number in range(10):
            two.served(f"new{number}", "v2", 1)
        for seconds in range(1, 5):
            await versions.look(now + seconds)

        assert versions.version("new9", now) == "v2"
        assert versions.version("early", now) is None


class Away:
    """A session with a database that may be away: what it takes to notice, as an unanswered connection does."""

    def __init__(self, session: Session, clock: FakeClock) -> None:
        self.gone, self.attempts = False, 0
        self.dialect_name, self.columns, self.run, self.close = (
            session.dialect_name, session.columns, session.run, session.close,
        )  # fmt: skip
        self._session, self._clock = session, clock

    async def rows(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row]:
        """Wait for four seconds in vain, or ask."""
        if self.gone:
            self.attempts += 1
            self._clock.advance(4)
            raise DatabaseSourceError("no answer", place="web")
        return await self._session.rows(statement, parameters)


async def test_a_database_that_is_away_is_left_alone_for_a_while(two: Two, clock: FakeClock) -> None:
    """One attempt for all that is read there, then none for five seconds. Meanwhile what needs it is unread and no row
    is given a version, and all other events are fresh at each refresh.
    """
    two.served("a", "v1", 7200)
    two.login("a", 1, 7200)
    carts = replace(_ORDERS, unit=None, identity=None)
    policy = with_events(two.policy, events={**two.policy.database.events, "carts": carts})
    async with order_sources(policy, Patience.LIVE) as sources:
        web = Away(sources.sessions["web"], clock)
        sources.sessions["web"] = web
        refresher = Refresher(policy, sources, clock, Counters(20), two.at(86400), SharedThreads())
        two.order(1, 1)
        await settle(refresher, clock, 40)
        feeds = {feed.stream.event: feed for feed in refresher.feeds}

        def versions(event: str) -> dict[str, int]:
            return {key.version: tally.rows for key, tally in feeds[event].ledger.totals.items()}

        counts, faults, late = [], [], []
        web.gone = True
        for seconds in range(12):
            if seconds == 11:
                web.gone = False
                two.served("a", "v2", 0)
            two.order(1, 0)
            began = clock.now().timestamp()
            await refresher.refresh()
            counts.append((versions("orders"), versions("carts")))
            faults.append({event for event, feed in feeds.items() if feed.fault is not None})
            late.append(clock.now().timestamp() - began)
            clock.advance(1)
        clock.advance(20)
        await refresher.refresh()

    assert late == [4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 4, 0]
    assert web.attempts == 3
    assert faults == [{"visits", "orders"}] * 12
    assert counts == [({"v1": 1}, {"unknown": number}) for number in range(2, 14)]
    assert versions("orders") == {"v1": 12, "v2": 1}


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
async def test_a_server_is_read_whatever_its_types(
    kind: str, request: pytest.FixtureRequest, two: Two, clock: FakeClock
) -> None:
    """Accounts that are texts there and numbers here, times without a zone, and the clock of another country."""
    url = request.getfixturevalue(f"{kind}_url")
    engine = create_async_engine(url)
    wall = clock.now().astimezone(ZoneInfo("Asia/Tokyo")).replace(tzinfo=None)
    served = [("a", "v1", wall - timedelta(days=90)), ("b", "v1", wall - timedelta(hours=2))]
    served += [("b", "v2", wall - timedelta(seconds=601))]
    logins = [("a", "1", wall - timedelta(days=80)), ("b", "2", wall - timedelta(hours=1))]
    async with engine.begin() as connection:
        for table, columns, rows in (("served", "version", served), ("logins", "account", logins)):
            await connection.execute(
                sa.text(f"CREATE TABLE {table} (cookie VARCHAR(40), {columns} VARCHAR(40), since TIMESTAMP(3))")
                if kind == "postgres"
                else sa.text(f"CREATE TABLE {table} (cookie VARCHAR(40), {columns} VARCHAR(40), since DATETIME(3))")
            )
            for cookie, said, since in rows:
                values = {"cookie": cookie, "said": said, "since": since}
                await connection.execute(sa.text(f"INSERT INTO {table} VALUES (:cookie, :said, :since)"), values)
    await engine.dispose()
    there = replace(_LOGINS, time="since", time_unit=None)
    database = replace(
        two.policy.database,
        sources={"web": Source(url=url, timezone="Asia/Tokyo")},
        events={"orders": _ORDERS},
        assignments=replace(_SERVED, time_unit=None, tester=None),
        identities={"accounts": there},
    )
    two.order(1, 600)
    two.order(2, 602)
    two.order(2, 600)
    two.order(3, 600)

    async with refresher_on(replace(two.policy, kpis={}, database=database), clock) as refresher:
        await settle(refresher, clock, 40)
        assert published(refresher)["shop_orders_total"] == {("v1",): 2.0, ("v2",): 1.0, ("unknown",): 1.0}

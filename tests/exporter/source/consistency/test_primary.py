"""A replica held against its primary, both real: rows that it lacks are named, and those that are under way are not."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from canary import names
from canary.errors import DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, Status
from canary.policy.database.section import Primary, Replica
from canary.policy.model import Policy
from canary.timing.clock import Clock, SystemClock
from canaryctl.check.shop.primary import check_primary
from exporter.publish.collector import ExporterCollector
from exporter.source.consistency.primary import Replicated, held_against_primary
from exporter.source.consistency.primarywatch import PrimaryWatch
from exporter.source.database import OrderDatabase, Patience
from exporter.source.session import open_session
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, refresher_on
from tests.support.databases.postgres import Postgres
from tests.support.databases.postgresreplica import PostgresReplica
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData, fill
from tests.support.programs.processes import eventually
from tests.support.receiving.entries import rollout_of, started


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Postgres, PostgresReplica]]:
    """A primary, and a replica that streams from it."""
    with Postgres() as primary, PostgresReplica(primary) as replica:
        yield primary, replica


@pytest.fixture
async def streaming(
    servers: tuple[Postgres, PostgresReplica],
) -> AsyncIterator[tuple[ShopData, PostgresReplica, Policy]]:
    """A shop of the test's own on the primary, and in the replica."""
    primary, replica = servers
    data = ShopData(primary.new_database())
    await data.create()
    await fill(data, datetime.now(UTC), 30)
    replica.catch_up()
    yield data, replica, _policy(replica.url(data.url), data.url)
    await data.close()


@pytest.fixture(scope="module")
def logical() -> Iterator[Postgres]:
    """A server that publishes row by row. Only so can a replica lack rows: a streaming one has the primary's pages."""
    with Postgres(["wal_level=logical"]) as server:
        yield server


class Published:
    """A shop, and a subscriber that follows its tables row by row and tells no lag.

    Attributes:
        here: the subscriber, in which one may write next to what comes.
    """

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.there = ShopData(server.new_database())
        self.here = ShopData(server.new_database())
        self.policy = _policy(self.here.url, self.there.url)

    async def begin(self) -> None:
        """Thirty customers in both."""
        await self.there.create()
        await self.here.create()
        await fill(self.there, datetime.now(UTC), 30)
        name = self.there.url.rsplit("/", 1)[1]
        self.server.execute(self.there.url, f"CREATE PUBLICATION {name} FOR ALL TABLES")
        self.server.execute(self.there.url, f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
        source = f"host=127.0.0.1 port={self.server.port} user=shop dbname={name}"
        self.server.execute(
            self.here.url,
            f"CREATE SUBSCRIPTION {name} CONNECTION '{source}' PUBLICATION {name} WITH (create_slot = false)",
        )
        await self.followed()

    async def followed(self) -> None:
        """Wait for a row that is written now."""
        last = await self.there.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))

        async def came() -> bool:
            return bool(await self.here.run(sa.select(VISITS.c.id).where(VISITS.c.id == last)))

        await eventually(came, "the subscriber follows")

    def cut_off(self) -> None:
        """Let nobody connect with the primary any more."""
        name = self.there.url.rsplit("/", 1)[1]
        self.server.execute(self.here.url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self.server.execute(
            self.here.url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )

    async def close(self) -> None:
        """End the subscription, whose slot the server would keep for ever."""
        name = self.there.url.rsplit("/", 1)[1]
        self.server.execute(self.here.url, f"ALTER SUBSCRIPTION {name} DISABLE")
        await self.there.close()
        await self.here.close()


@pytest.fixture
async def shop(logical: Postgres) -> AsyncIterator[Published]:
    """A shop whose tables are published."""
    shop = Published(logical)
    await shop.begin()
    yield shop
    await shop.close()


def _policy(replica: str, primary: str) -> Policy:
    return policy_for(replica, replica=Replica(max_lag=3), primary=Primary(url=primary, rows=100))


async def _held(policy: Policy, clock: Clock | None = None, *, most: int = 100) -> dict[str, Replicated]:
    primary = OrderDatabase.primary_of(policy, Patience.LIVE)
    assert primary is not None
    there, here = open_session(primary), open_session(OrderDatabase.of(policy, Patience.LIVE))
    try:
        found = await held_against_primary(policy, here, there, clock or SystemClock(), most=most)
    finally:
        await there.close()
        await here.close()
    return {one.event: one for one in found}


async def _checked(policy: Policy, *, data: bool = True) -> list[Finding]:
    session = open_session(OrderDatabase.of(policy, Patience.LIVE))
    try:
        return await check_primary(policy, session, SystemClock(), None, data=data)
    finally:
        await session.close()


async def test_a_streaming_replica_has_what_its_primary_has(
    streaming: tuple[ShopData, PostgresReplica, Policy],
) -> None:
    """While more customers write than rows are looked at: what came after the look began is no difference."""
    data, _, policy = streaming

    async def customers() -> None:
        while True:
            await data.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(customers())
    found = await _held(policy, most=20)
    writing.cancel()

    assert {name for name, one in found.items() if one.faulty} == set()
    assert found["visits"].rows > 0
    assert found["orders"].newest[0] == found["orders"].newest[1] != ""


async def test_a_replica_that_stands_still_is_not_said_to_lack_rows(
    streaming: tuple[ShopData, PostgresReplica, Policy],
) -> None:
    """It is behind, which is another fault with an alert of its own, and nothing is said of its rows."""
    data, replica, policy = streaming
    replica.sql("SELECT pg_wal_replay_pause()").check_returncode()
    await data.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))

    with pytest.raises(DatabaseError, match="did not catch up"):
        await _held(policy)
    replica.sql("SELECT pg_wal_replay_resume()").check_returncode()


async def test_what_is_called_the_primary_must_be_one(streaming: tuple[ShopData, PostgresReplica, Policy]) -> None:
    """A replica that is held against itself, or against another one, would always be complete."""
    data, replica, _ = streaming
    other = replica.url(data.url)

    [found] = await _checked(_policy(data.url, other), data=False)

    assert "is a replica itself" in found.what
    with pytest.raises(DatabaseUnavailableError, match="the replica itself"):
        OrderDatabase.primary_of(_policy(other, other), Patience.LIVE)


async def test_rows_that_the_replica_lacks_have_beyond_or_otherwise_are_named(shop: Published) -> None:
    """By their ids, after both were looked at twice; of events without any, how many rows were compared."""
    now = datetime.now(UTC) - timedelta(seconds=20)
    gone = [await shop.there.insert(VISITS, version="v1.0", created_at=now) for _ in range(2)]
    order = await shop.there.insert(ORDERS, version="v1.0", created_at=now, total=20, currency="USD", status="placed")
    await shop.followed()
    await shop.here.run(VISITS.delete().where(VISITS.c.id.in_(gone)))
    await shop.here.run(ORDERS.update().where(ORDERS.c.id == order).values(total=19))
    extra = await shop.here.insert(ORDERS, version="v1.0", created_at=now, total=5, currency="USD")

    found = await _held(shop.policy)
    told = [one.what for one in await _checked(shop.policy)]

    assert {kind: sorted(ids) for kind, ids in found["visits"].faulty.items()} == {"missing": sorted(map(str, gone))}
    assert found["orders"].faulty == {"surplus": (str(extra),), "differing": (str(order),)}
    assert found["payments"].faulty == {}
    assert any("2 of the newest visits are in the primary and not in the replica" in what for what in told)
    assert any(what.startswith("the replica has the newest") and "of payments" in what for what in told)


async def test_what_one_of_both_cannot_be_asked_for_is_said_not_to_be_compared(shop: Published) -> None:
    """A table that the primary lacks, and more rows of one time than are read: neither may pass for alike."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    await shop.there.run(sa.text("DROP TABLE orders"))
    await shop.there.run(PAYMENTS.delete())
    await shop.there.insert_many(PAYMENTS, [{"version": "v1.0", "created_at": at} for _ in range(100)])
    await shop.followed()

    told = [(one.status, one.what) for one in await _checked(shop.policy)]
    watch = PrimaryWatch.of(shop.policy, SystemClock())
    assert watch is not None
    watch.follow(rollout_of([started("r1", datetime.now(UTC))]))
    await watch.settled()
    await watch.close()

    (orders,) = ((status, what) for status, what in told if what.startswith("orders"))
    (payments,) = ((status, what) for status, what in told if what.startswith("payments"))
    assert orders[0] is payments[0] is Status.FAILED
    assert "orders are not compared" in orders[1]
    assert 'relation "orders" does not exist' in orders[1]
    assert "payments are not compared: the newest 100 rows have one and the same time" in payments[1]
    assert {one.event for one in watch.found("r1") if one.unread} == {"payments", "orders"}
    assert any(status is Status.OK and "of visits as its primary has them" in what for status, what in told)


async def test_a_row_that_comes_a_moment_late_is_not_missing(shop: Published) -> None:
    """A subscriber tells no lag: what comes within `max_lag` after a first look without it is under way."""
    name = shop.there.url.rsplit("/", 1)[1]
    shop.server.execute(shop.here.url, f"ALTER SUBSCRIPTION {name} DISABLE")
    await shop.there.insert(VISITS, version="v1.0", created_at=datetime.now(UTC) - timedelta(seconds=1))

    class Slow(FakeClock):
        """Lets the subscriber go on in the pause between the two looks."""

        pauses = 0

        async def sleep(self, seconds: float) -> None:
            self.pauses += 1
            self.advance(seconds)
            if self.pauses == 2:
                shop.server.execute(shop.here.url, f"ALTER SUBSCRIPTION {name} ENABLE")
                await shop.followed()

    clock = Slow(datetime.now(UTC))
    found = await _held(shop.policy, clock)

    assert clock.pauses == 2
    assert found["visits"].faulty == {}


async def test_what_is_missing_is_published_while_a_rollout_runs_and_stays_when_nobody_can_look(
    shop: Published, caplog: pytest.LogCaptureFixture
) -> None:
    """With the rollout's id; a primary that has the table no more, or is away, ends no hold, and delays no refresh."""
    gone = await shop.there.insert(VISITS, version="v1.0", created_at=datetime.now(UTC) - timedelta(seconds=20))
    await shop.followed()
    await shop.here.run(VISITS.delete().where(VISITS.c.id == gone))
    clock = FakeClock(datetime.now(UTC))
    watch = PrimaryWatch.of(shop.policy, clock)
    assert watch is not None
    async with refresher_on(shop.policy, clock) as refresher:
        registry = CollectorRegistry()
        registry.register(ExporterCollector(lambda: refresher.snapshot, clock))
        refresher.primary, refresher.rollout = watch, rollout_of([started("r1", clock.now())])

        def missing() -> float | None:
            about = {names.SERVICE: "shop", names.ROLLOUT: "r1", names.EVENT: "visits", names.FAULT: "missing"}
            return registry.get_sample_value(names.REPLICA_FAULTY_ROWS, about)

        await refresher.refresh()
        await watch.settled()
        await refresher.refresh()
        assert missing() == 1

        shop.server.execute(shop.there.url, "ALTER TABLE visits RENAME TO visited")
        for away in (False, True, True):
            if away:
                shop.cut_off()
            clock.advance(Primary().interval)
            await refresher.refresh()
            await watch.settled()
            await refresher.refresh()
            assert missing() == 1
        assert caplog.messages.count("rows of the replica are not compared with its primary's") == 1
        assert caplog.messages.count("the replica cannot be held against its primary") == 1
        assert refresher.snapshot.database_up
        refresher.rollout = None
        await refresher.refresh()
        assert missing() is None
    await watch.close()

"""A read replica behind a real PostgreSQL primary: its lag, what is said while it lags, and a migration."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from canary.errors import DatabaseError
from canary.policy.database.section import Replica, RequiredColumns
from canary.timing.clock import SystemClock
from exporter.refresher import Refresher
from exporter.source.watch.replica import replica_lag_seconds
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, published, refresher_on
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.postgres import Postgres
from tests.support.databases.postgresreplica import PostgresReplica
from tests.support.databases.shopdata import VISITS, ShopData, fill
from tests.support.programs.processes import eventually
from tests.support.receiving.entries import rollout_of, started


@pytest.fixture
def replica(postgres_own: Postgres) -> Iterator[PostgresReplica]:
    """A replica of a primary of the test's own."""
    with PostgresReplica(postgres_own) as server:
        yield server


@pytest.fixture
async def primary(postgres_own: Postgres) -> AsyncIterator[ShopData]:
    """A shop on the primary."""
    data = ShopData(postgres_own.new_database())
    await data.create()
    await fill(data, datetime.now(UTC), 30)
    yield data
    await data.close()


async def _until(refresher: Refresher, condition: Callable[[], bool], what: str) -> None:
    """Refresh until *condition* holds."""

    async def holds() -> bool:
        await refresher.refresh()
        return condition()

    check: Callable[[], Awaitable[bool]] = holds
    await eventually(check, what)


async def test_a_lagging_replica_makes_the_judge_blind_and_loses_nothing(
    primary: ShopData, replica: PostgresReplica
) -> None:
    """While the replica is behind the limit, verdicts are blind; afterwards every row is counted at its own time."""
    url = replica.url(primary.url)
    policy = policy_for(url, replica=Replica(max_lag=1.0), refresh=0.1)
    async with refresher_on(policy, SystemClock()) as refresher:
        refresher.rollout = rollout_of([started("r1", datetime.now(UTC))])
        await _until(
            refresher,
            lambda: refresher.complete and refresher.snapshot.evidence is not None and not refresher.snapshot.blind,
            "judged",
        )
        quick = refresher.snapshot
        replica.sql("SELECT pg_wal_replay_pause()").check_returncode()
        await primary.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
        await _until(refresher, lambda: "replica" in refresher.snapshot.blind, "blind")
        behind = refresher.snapshot
        replica.sql("SELECT pg_wal_replay_resume()").check_returncode()
        await _until(refresher, lambda: published(refresher)["shop_visits_total"]["v1.0",] == 31, "counted")
        await _until(refresher, lambda: not refresher.snapshot.blind, "seeing")

        assert quick.replica_lag_seconds is not None
        assert quick.replica_lag_seconds < 1
        assert behind.replica_lag_seconds is not None
        assert behind.replica_lag_seconds > 1
        assert behind.evidence is not None
        assert {kpi.verdict.value for kpi in behind.evidence.kpis.values()} == {"blind"}


async def test_a_replica_without_its_primary_is_not_called_fresh(
    primary: ShopData, replica: PostgresReplica, postgres_own: Postgres
) -> None:
    """A replica that replayed all it got, from a primary that is gone, is behind by the age of the last commit."""
    async with refresher_on(policy_for(replica.url(primary.url)), SystemClock()) as refresher:
        await primary.insert(VISITS, version="v1.0", created_at=datetime.now(UTC))
        replica.catch_up()

        async def lag_seconds() -> float:
            return await replica_lag_seconds(refresher.sources.sessions[None])

        async def fresh() -> bool:
            return await lag_seconds() == 0

        async def behind() -> bool:
            return 0 < await lag_seconds() < math.inf

        await eventually(fresh, "with its primary it is not behind")
        postgres_own.stop()
        try:
            await eventually(behind, "without its primary it is behind by the age of the last commit")
        finally:
            postgres_own.start()


async def test_a_migration_on_the_primary_is_noticed_on_the_replica(
    primary: ShopData, replica: PostgresReplica
) -> None:
    """A column that both versions need is dropped or changes its type: incompatible; a new column is nobody's harm."""
    policy = policy_for(replica.url(primary.url), required=(RequiredColumns(table="carts", columns=("visit_id",)),))
    async with refresher_on(policy, SystemClock()) as refresher:
        await _until(refresher, lambda: refresher.complete, "counted")

        async def look_after(statement: str) -> tuple[str, ...]:
            async with primary.engine.begin() as connection:
                await connection.exec_driver_sql(statement)
            replica.catch_up()
            await refresher.schema.look()
            return refresher.schema.problems

        added = await look_after("ALTER TABLE orders ADD COLUMN gift boolean")
        widened = await look_after("ALTER TABLE feedback ALTER COLUMN score TYPE bigint")
        changed = await look_after("ALTER TABLE feedback ALTER COLUMN score TYPE text")
        dropped = await look_after("ALTER TABLE carts DROP COLUMN visit_id")

    assert added == ()
    assert widened == ()
    assert changed == ("column feedback.score was number and is now text",)
    assert "column carts.visit_id is not there" in dropped


async def test_a_mariadb_that_is_no_replica_is_not_behind(mariadb: MariaDb, clock: FakeClock) -> None:
    """A primary has no lag."""
    async with refresher_on(policy_for(mariadb.new_database()), clock) as refresher:
        assert await replica_lag_seconds(refresher.sources.sessions[None]) == 0


async def test_a_mariadb_replica_is_behind_or_not_replicating() -> None:
    """A replica that keeps up is not behind; one whose replication was stopped is infinitely far behind."""
    with MariaDb(["server-id=1", "log-bin=log"]) as first, MariaDb(["server-id=2", "slave-skip-errors=all"]) as second:
        first.execute("GRANT REPLICATION SLAVE ON *.* TO shop@'127.0.0.1'")
        second.execute(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={first.port}, MASTER_USER='shop',"
            " MASTER_USE_GTID=slave_pos; START SLAVE"
        )
        url = first.new_database().replace(f":{first.port}/", f":{second.port}/")
        async with refresher_on(policy_for(url), SystemClock()) as refresher:

            async def arrived() -> bool:
                try:
                    return await replica_lag_seconds(refresher.sources.sessions[None]) == 0
                except DatabaseError:
                    return False

            await eventually(arrived, "the database on the replica")
            second.execute("STOP SLAVE")
            stopped = await replica_lag_seconds(refresher.sources.sessions[None])

    assert stopped == math.inf


class _Answers:
    """A session with a server that knows some of the statements, each with one row of columns."""

    dialect_name = "mysql"

    def __init__(self, known: Mapping[str, Mapping[str, object] | None]) -> None:
        self._known = known

    async def rows(self, statement: sa.Executable, _: object = None) -> Sequence[Any]:
        if str(statement) not in self._known:
            raise DatabaseError("You have an error in your SQL syntax")
        row = self._known[str(statement)]
        if row is None:
            raise DatabaseError("Access denied; you need the REPLICATION CLIENT privilege")
        return [SimpleNamespace(_mapping=row)]


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("SHOW REPLICA STATUS", "Seconds_Behind_Source"),  # MySQL, as seen with 9.7
        ("SHOW REPLICA STATUS", "Seconds_Behind_Master"),  # MariaDB from 10.5 on
        ("SHOW SLAVE STATUS", "Seconds_Behind_Master"),  # both before that
    ],
)
@pytest.mark.parametrize(("told", "lag"), [(7, 7.0), (None, math.inf)])
async def test_each_generation_of_mysql_has_its_words(
    statement: str, column: str, told: int | None, lag: float
) -> None:
    """The lag is found by the statement and the column that the server knows; NULL is a replica that stands still."""
    session: Any = _Answers({statement: {column: told}})

    assert await replica_lag_seconds(session) == lag


@pytest.mark.parametrize("statement", ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"])
async def test_a_missing_right_is_told_by_every_generation(statement: str) -> None:
    """And not that another generation's statement is none here."""
    session: Any = _Answers({statement: None})

    with pytest.raises(DatabaseError, match="you need the REPLICATION CLIENT privilege"):
        await replica_lag_seconds(session)


async def test_sqlite_has_no_lag_to_measure(lite: ShopData, clock: FakeClock) -> None:
    """A policy that calls an SQLite file a replica is told so."""
    async with refresher_on(policy_for(lite.url), clock) as refresher:
        with pytest.raises(DatabaseError, match=r"database\.replica"):
            await replica_lag_seconds(refresher.sources.sessions[None])

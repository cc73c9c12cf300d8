"""The lock and the heartbeat by which one receiver leads, statement by statement on a real PostgreSQL."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy.engine import make_url

from alertmanager.receiver.lead.postgres import PostgresLeader
from canary.errors import DatabaseUnavailableError
from tests.support.clock import FakeClock
from tests.support.databases.postgres import Postgres
from tests.support.programs.processes import eventually

# A statement is given up after two seconds; a machine under load takes a while to say so.
_HANGS_SECONDS = 30.0

New = Callable[..., PostgresLeader]


# Ends all connections to the database, and waits until they are ended.
_HANG_UP = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture(scope="session")
def kept(postgres: Postgres) -> str:
    """One database for all tests here: making one takes longer than a test."""
    return postgres.new_database()


@pytest.fixture
def database(postgres: Postgres, kept: str) -> str:
    """A database in which nobody has led yet."""
    postgres.execute(kept, _HANG_UP, "DROP TABLE IF EXISTS canary_leader")
    return kept


@pytest.fixture
def clock() -> FakeClock:
    """The clock of all receivers."""
    return FakeClock()


@pytest.fixture
async def new(database: str, clock: FakeClock) -> AsyncIterator[New]:
    """Makes a receiver's leader on the database, which is closed at the end."""
    made: list[PostgresLeader] = []

    def leader(service: str = "shop") -> PostgresLeader:
        made.append(PostgresLeader(make_url(database), service, clock))
        return made[-1]

    yield leader
    for one in made:
        await one.close()


@pytest.fixture
async def one(new: New) -> PostgresLeader:
    """A receiver that leads."""
    leader = new()
    await leader.step()
    assert leader.leading is True
    return leader


@pytest.fixture
def age(postgres: Postgres, database: str) -> Callable[[float], None]:
    """Makes the last heartbeat older."""

    def older(seconds: float) -> None:
        postgres.execute(database, f"UPDATE canary_leader SET beat_at = clock_timestamp() - interval '{seconds} s'")

    return older


@pytest.fixture
def hang_up(postgres: Postgres, database: str) -> Callable[[], None]:
    """Ends all connections to the database."""
    return lambda: postgres.execute(database, _HANG_UP)


Told = Callable[[], list[tuple[str, str, dict[str, object]]]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """What the log has said since the last time it was asked for."""
    caplog.set_level(logging.INFO)

    def since() -> list[tuple[str, str, dict[str, object]]]:
        said = [
            (record.levelname, record.getMessage(), vars(record)["canary_fields"])
            for record in caplog.records
            if record.name == "canary.leader"
        ]
        caplog.clear()
        return said

    return since


async def follows(leader: PostgresLeader) -> None:
    """It tries until it leads: the server takes a moment to see that a connection has ended."""

    async def tried() -> bool:
        await leader.step()
        return leader.leading

    await eventually(tried, "it leads")


async def test_who_has_not_tried_yet_does_not_lead(new: New) -> None:
    """And knows of nothing that would keep it from leading."""
    leader = new()

    assert (leader.leading, leader.unknown, leader.epoch) == (False, False, 0)
    assert await leader.may_act() is False


async def test_one_leads_until_it_gives_the_lock_back(new: New, told: Told) -> None:
    """The other one follows, with a number of its own; only changes are told."""
    one, two = new(), new()
    for _ in range(2):
        await one.step()
        await two.step()
        assert [one.leading, two.leading, one.unknown, two.unknown] == [True, False, False, False]
        assert [await one.may_act(), await two.may_act()] == [True, False]
    assert told() == [("INFO", "leading", {"epoch": 1})]

    await one.close()
    await follows(two)

    assert [one.leading, two.leading] == [False, True]
    assert told() == [("INFO", "leading", {"epoch": 2})]


async def test_each_service_has_a_leader_of_its_own(one: PostgresLeader, new: New) -> None:
    """Their journals may share a database."""
    books = new("books")
    await books.step()
    await one.step()

    assert [one.leading, books.leading, books.epoch] == [True, True, 1]


async def test_a_leader_is_left_alone_while_its_heart_beats(
    one: PostgresLeader, new: New, age: Callable[[float], None]
) -> None:
    """A heartbeat of less than six seconds ago is enough, and each one counts from anew."""
    two = new()
    age(5)
    await two.step()
    age(7)
    await one.step()
    await two.step()
    await one.step()

    assert [one.leading, one.epoch, two.leading] == [True, 1, False]


async def test_a_leader_without_a_heartbeat_is_followed(
    one: PostgresLeader, new: New, age: Callable[[float], None], clock: FakeClock, told: Told
) -> None:
    """Its connection is ended, the other one leads, and the first hears of it before it acts again."""
    two = new()
    age(7)
    await follows(two)
    assert told() == [("INFO", "leading", {"epoch": 2})]

    clock.advance(4)
    assert await one.may_act() is False
    assert one.unknown is True
    trouble, change = told()
    assert trouble[:2] == ("WARNING", "journal's database is unreachable")
    assert "connection" in str(trouble[2]["error"])
    assert change == ("INFO", "no longer leading", {"epoch": 1})

    await one.step()
    assert (one.leading, one.unknown, told()) == (False, False, [])


@pytest.mark.parametrize("change", ["UPDATE canary_leader SET epoch = epoch + 1", "DELETE FROM canary_leader"])
async def test_who_cannot_write_a_heartbeat_leads_no_more(
    one: PostgresLeader, postgres: Postgres, database: str, change: str
) -> None:
    """Another one has led since, or somebody has tidied up: it says so, and takes the lock anew."""
    postgres.execute(database, change)
    await one.step()
    assert (one.leading, one.unknown) == (False, False)

    await one.step()
    assert one.leading is True


async def test_a_fresh_heartbeat_is_trusted_for_less_than_four_seconds(
    one: PostgresLeader, clock: FakeClock, hang_up: Callable[[], None]
) -> None:
    """The database is not asked before each action; after that it is, and here it has hung up."""
    hang_up()
    clock.advance(3.5)
    assert await one.may_act() is True

    clock.advance(0.5)
    assert await one.may_act() is False


async def test_a_heartbeat_counts_from_when_it_was_sent(
    one: PostgresLeader, clock: FakeClock, postgres: Postgres, hang_up: Callable[[], None]
) -> None:
    """Others count from when it is written; one that was long on its way is not trusted for longer than they wait."""
    clock.advance(1)
    postgres.pause()
    try:
        beating = asyncio.create_task(one.step())
        await asyncio.sleep(0)
        clock.advance(4)
    finally:
        postgres.go_on()
    await beating
    assert one.leading is True
    hang_up()

    assert await one.may_act() is False


async def test_who_was_hung_up_on_leads_again(
    one: PostgresLeader, new: New, hang_up: Callable[[], None], told: Told
) -> None:
    """Trouble ends a lead, is told by whoever has it, and ends itself with the next step; whoever waited waits on."""
    two = new()
    await two.step()
    told()
    hang_up()
    for leader in (one, two):
        await leader.step()

    assert [one.leading, one.unknown, two.leading, two.unknown] == [False, True, False, True]
    assert [level for level, *_ in told()] == ["WARNING", "INFO", "WARNING"]
    for leader in (one, two):
        await leader.step()
    assert [one.leading, one.unknown, one.epoch, two.leading, two.unknown] == [True, False, 2, False, False]


async def test_a_database_that_hangs_is_given_up(one: PostgresLeader, new: New, postgres: Postgres) -> None:
    """Within seconds nobody knows who leads, whether it led, waited, or had just begun."""
    waiting, beginning = new(), new()
    await waiting.step()
    leaders = (one, waiting, beginning)
    postgres.pause()
    try:
        async with asyncio.timeout(_HANGS_SECONDS):
            await asyncio.gather(*(leader.step() for leader in leaders))
    finally:
        postgres.go_on()

    assert [(leader.leading, leader.unknown) for leader in leaders] == [(False, True)] * 3


async def test_it_tries_again_and_again(one: PostgresLeader, new: New, hang_up: Callable[[], None]) -> None:
    """Whatever becomes of the leader or of its own connection, a second later it has another look."""
    two = new()
    running = asyncio.create_task(two.run())
    await asyncio.sleep(0.1)
    hang_up()
    await one.close()

    await eventually(lambda: two.leading or running.done(), "it leads")
    assert not running.done()
    running.cancel()


def test_an_address_that_is_not_understood_is_told_by_its_place() -> None:
    """The policy's key and the parameter, as everywhere."""
    url = make_url("postgresql+asyncpg://shop@db.example/state?sslmod=require")

    with pytest.raises(DatabaseUnavailableError, match="sslmod") as caught:
        PostgresLeader(url, "shop", FakeClock())
    assert caught.value.place == "state.url"

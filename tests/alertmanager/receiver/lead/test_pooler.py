"""Who leads through a connection pooler: somebody where a session is one, nobody where it is not."""

import logging

import pytest
from sqlalchemy.engine import make_url

from alertmanager.receiver.lead.postgres import PostgresLeader
from canary.timing.clock import SystemClock
from tests.support.clock import FakeClock
from tests.support.databases.pgbouncer import PgBouncer
from tests.support.databases.postgres import Postgres


async def leads(url: str, steps: int = 1) -> list[bool]:
    """Whether each of two receivers at this address leads after so many steps."""
    leaders = [PostgresLeader(make_url(url), "shop", SystemClock()) for _ in range(2)]
    try:
        for _ in range(steps):
            for leader in leaders:
                await leader.step()
        return [await leader.may_act() for leader in leaders]
    finally:
        for leader in leaders:
            await leader.close()


async def test_in_transaction_mode_nobody_leads(postgres: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    """A lock would be held by nobody in particular: it is not taken, and the log says what to write instead."""
    async with PgBouncer(postgres, "transaction") as pooler:
        caplog.set_level(logging.INFO)
        assert await leads(pooler.url(postgres.new_database()), steps=3) == [False, False]

    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == [
        "no receiver can lead through a pooler in transaction mode"
    ] * 2  # once for each receiver, and not at every step


async def test_a_pooler_is_looked_at_again_after_half_a_minute(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """Until somebody writes another address, and no more often; each time it is said what to write."""
    clock = FakeClock()
    async with PgBouncer(postgres, "transaction") as pooler:
        leader = PostgresLeader(make_url(pooler.url(postgres.new_database())), "shop", clock)
        told = []
        for seconds in (0, 29, 1, 29, 1):
            clock.advance(seconds)
            caplog.clear()
            await leader.step()
            told.append([vars(record)["canary_fields"] for record in caplog.records])
            assert (leader.leading, leader.unknown) == (False, False)
        await leader.close()

    remedy = [{"remedy": "write a direct address of PostgreSQL, or that of a pool in session mode, in state.url"}]
    assert told == [remedy, [], remedy, [], remedy]


async def test_in_session_mode_one_leads(postgres: Postgres) -> None:
    """A pool that gives a server connection to a client for as long as it stays keeps its lock."""
    async with PgBouncer(postgres, "session") as pooler:
        assert await leads(pooler.url(postgres.new_database()), steps=3) == [True, False]

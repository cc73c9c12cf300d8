"""The journal through the connections that people have: TLS, a pooler in either mode, files of any name."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from canary.errors import JournalError
from canary.policy.model import Policy, State
from canary.rollout.entries import Held
from canary.rollout.journal.connection import journal_engine
from canary.rollout.journal.journal import JOURNAL, Journal, journal_url
from tests.support.databases.pgbouncer import PgBouncer
from tests.support.databases.postgres import Postgres
from tests.support.programs.processes import eventually

ENTRY = Held(rollout="r1", at=datetime(2026, 3, 3, tzinfo=UTC), actor="ann", reason="look")


def policy_at(url: str, base: Path | str = ".") -> Policy:
    """A policy that keeps its journal there."""
    return Policy(service="shop", base=str(base), state=State(url=url))


async def step(policy: Policy, times: int) -> int:
    """Probe, read and look where the journal stands, as a receiver does all the time."""
    async with Journal.open(policy) as journal:
        for _ in range(times):
            await journal.probe()
            await journal.entries()
        return await journal.position()


async def test_a_frozen_writer_keeps_nobody_out_for_long(postgres: Postgres) -> None:
    """A receiver that is stopped between its entry and the commit loses its transaction, and another one writes."""
    policy = policy_at(postgres.new_database())
    values = {"service": "shop", "previous": 0, "rollout": "r1", "kind": "note", "at": "", "actor": "", "reason": ""}
    async with Journal.open(policy) as journal:
        frozen = await journal_engine(journal_url(policy), timeout_seconds=10)
        connection = await frozen.connect()
        await connection.execute(sa.insert(JOURNAL).values(**values, data="{}"))

        async def written() -> bool:
            try:
                await journal.append(ENTRY)
            except JournalError:
                return False
            return True

        assert not await written()
        await eventually(written, "the other one writes", timeout_seconds=60)
        with pytest.raises(DBAPIError):
            await connection.execute(sa.text("SELECT 1"))
        await connection.invalidate()
        await connection.close()
        await frozen.dispose()


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_several_receivers_share_a_journal_behind_a_pooler(postgres: Postgres, mode: str) -> None:
    """No step meets another one's prepared statement, however the pooler deals the connections out."""
    direct = postgres.new_database()
    async with PgBouncer(postgres, mode) as pooler:
        policy = policy_at(pooler.url(direct))
        found = await asyncio.gather(*(step(policy, 20) for _ in range(4)))

    assert found == [0] * 4


async def test_an_address_that_is_not_understood_is_the_journals_error(postgres: Postgres) -> None:
    """The same words as for the order database, with the journal's key."""
    with pytest.raises(JournalError, match=r"state\.url: the address's parameter sslmod .* did you mean sslmode\?"):
        journal_url(policy_at("postgres://shop@db.example/state?sslmod=require"))


async def test_a_server_without_tls_gets_no_entry(postgres: Postgres) -> None:
    """`sslmode=require` holds for the journal too, and the error shows no parameter."""
    with pytest.raises(JournalError) as caught:
        await step(policy_at(f"{postgres.new_database()}?sslmode=require"), 1)

    assert "sslmode" not in caught.value.place
    assert "SSL" in caught.value.what


@pytest.mark.parametrize("name", ["state #1.db", "what?.db", "100%25.db", "größe.db"])
async def test_the_journals_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    """The path is taken as it is written, and no other file appears."""
    assert await step(policy_at(f"sqlite:///{name}", tmp_path), 1) == 0

    assert (tmp_path / name).exists()
    assert journal_url(policy_at(f"sqlite:///{name}", tmp_path)).database == str(tmp_path / name)


async def test_a_file_that_is_moved_away_is_missed(tmp_path: Path) -> None:
    """It is neither written where nobody reads it again nor restarted; brought back, it goes on."""
    file, away = tmp_path / "state.db", tmp_path / "away.db"
    async with Journal.open(policy_at(f"sqlite:///{file}")) as journal:
        await journal.append(ENTRY)
        file.rename(away)
        for attempt in (journal.probe, journal.entries, journal.position):
            with pytest.raises(JournalError, match="moved or deleted while it was in use"):
                await attempt()
        assert not file.exists()

        away.rename(file)
        assert await journal.position() == 1


async def test_a_file_that_is_put_in_its_place_is_refused(tmp_path: Path) -> None:
    """It would be read together with what SQLite keeps next to the other one."""
    file, copy = tmp_path / "state.db", tmp_path / "copy.db"
    async with Journal.open(policy_at(f"sqlite:///{copy}")) as other:
        await other.probe()
    async with Journal.open(policy_at(f"sqlite:///{file}")) as journal:
        await journal.append(ENTRY)
        copy.rename(file)
        with pytest.raises(JournalError, match="replaced while it was in use"):
            await journal.position()

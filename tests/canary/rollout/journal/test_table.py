"""The journal's table: who makes it, whose rows are in it, and how they are found."""

import asyncio
import dataclasses
import secrets
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from canary.errors import JournalConflictError, JournalError
from canary.policy.model import Policy
from canary.rollout.entries import Adopted, Held
from canary.rollout.experiments import CHAIN
from canary.rollout.journal import journal as journals
from canary.rollout.journal.journal import JOURNAL, Journal, journal_url
from canary.rollout.kinds import Kind
from tests.support.receiving.entries import entry, started

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
STARTED = started("r1", NOON)
HELD = Held(rollout="r1", at=NOON, actor="ann", reason="look")


async def test_many_may_open_a_new_journal_at_once(policy: Policy) -> None:
    """Receivers that start together on an empty database all find their table."""

    async def positions() -> int:
        async with Journal.open(policy) as journal:
            return await journal.position()

    assert await asyncio.gather(*(positions() for _ in range(6))) == [0] * 6


async def test_who_opens_a_journal_that_another_one_is_making_waits(tmp_path: Path) -> None:
    """SQLite refuses at once who turns its log on while another one writes; the next receiver starts all the same."""
    policy = Policy(service="shop", base=str(tmp_path))
    other = sqlite3.connect(str(journal_url(policy).database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def position() -> int:
        async with Journal.open(policy) as journal:
            return await journal.position()

    opening = asyncio.create_task(position())
    done, _ = await asyncio.wait([opening], timeout=0.3)
    other.execute("COMMIT")
    other.close()

    assert (done, await opening) == (set(), 0)


async def test_who_waits_for_another_one_to_make_it_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has stopped in the middle of it would keep all others from starting, without a word."""
    monkeypatch.setattr(journals, "_MAKING_SECONDS", 0.1)
    policy = Policy(service="shop", base=str(tmp_path))
    other = sqlite3.connect(str(journal_url(policy).database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(JournalError, match="database is locked"):
        async with Journal.open(policy):
            raise AssertionError("opened")
    other.close()


async def test_whoever_is_given_a_database_without_it_makes_none(tmp_path: Path) -> None:
    """It is made where a journal is opened; elsewhere a wrong database is met as one."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    with pytest.raises(JournalError, match="no such table: canary_journal"):
        await Journal(engine, "shop").entries()
    await engine.dispose()


async def test_a_row_is_what_every_version_reads(journal: Journal) -> None:
    """The chain by the service's name, each entry after the one before, its data by name in a fixed order."""
    first, second = await journal.append(HELD), await journal.append(HELD)
    async with journal._engine.connect() as connection:
        rows = (await connection.execute(sa.select(JOURNAL).order_by(JOURNAL.c.seq))).all()

    told = (
        "r1",
        "held",
        "2026-01-31T12:00:00.123456Z",
        "ann",
        "look",
        '{"cause": "manual", "kpi": "", "lifts": false}',
    )
    assert tuple(rows[0]) == (first.seq, "shop", 0, *told)
    assert tuple(rows[1]) == (second.seq, "shop", first.seq, *told)


async def test_entries_are_in_order_wherever_the_database_keeps_them(journal: Journal) -> None:
    """Rows that were changed by their owner come last in PostgreSQL; SQLite goes by an index."""
    written = [await journal.append(one) for one in (STARTED, HELD, dataclasses.replace(HELD, reason="again"))]
    async with journal._engine.begin() as connection:
        for one in reversed(written):
            number = one.seq
            await connection.execute(sa.update(JOURNAL).where(JOURNAL.c.seq == number).values(previous=100 - number))

    assert await journal.entries() == written
    current = await journal.current()
    assert current is not None
    assert current.reason == "again"


async def test_the_current_rollout_is_the_services_own(journal: Journal, policy: Policy) -> None:
    """What others begin next to it, or decide, changes nothing; a rollout may also be adopted."""
    await journal.append(STARTED)
    await journal.append(HELD)
    async with Journal.open(dataclasses.replace(policy, service="books")) as books:
        await books.append(dataclasses.replace(STARTED, rollout="b1"))
        await books.append(entry("r1", Kind.RESUMED, NOON, "bob"))

        current, other = await journal.current(), await books.current()
        assert current is not None
        assert other is not None
        assert (current.id, current.reason, other.id) == ("r1", "look", "b1")

    adoption = Adopted(**{**vars(STARTED), "rollout": "r2", "weight": 0.05})
    await journal.append(adoption)
    adopted = await journal.current()
    assert adopted is not None
    assert (adopted.id, adopted.weight) == ("r2", 0.05)


async def test_a_service_has_several_chains(journal: Journal, policy: Policy) -> None:
    """None is read or continued by another, and all are the service's."""
    assert await journal.services() == set()
    async with Journal.open(policy, CHAIN) as experiments:
        await experiments.append(entry("colour", Kind.RECORDED, NOON, "ann"))
        assert await journal.services() == {"shop"}
        await journal.append(STARTED)

        assert await journal.entries() == [dataclasses.replace(STARTED, seq=2)]
        assert [(one.rollout, one.seq) for one in await experiments.entries()] == [("colour", 1)]
    async with Journal.open(dataclasses.replace(policy, service="books")) as books:
        await books.append(STARTED)
    assert await journal.services() == {"shop", "books"}


async def test_nobody_goes_on_from_what_is_no_longer_there(journal: Journal) -> None:
    """An entry was read, and the journal is empty now."""
    with pytest.raises(JournalConflictError) as caught:
        await journal.append(HELD, after=STARTED)

    assert str(caught.value) == "journal: somebody else wrote meanwhile; look again and decide anew"
    assert await journal.entries() == []


@pytest.mark.parametrize("drawn", [lambda _: 0, lambda _: 1, lambda below: below - 1])
async def test_a_probe_is_in_nobodys_way(journal: Journal, monkeypatch: pytest.MonkeyPatch, drawn: object) -> None:
    """Whatever place it takes, it stands before no entry, and nothing is left of it."""
    monkeypatch.setattr(secrets, "randbelow", drawn)
    written = [await journal.append(STARTED), await journal.append(HELD)]
    await journal.probe()

    assert await journal.entries() == written
    assert await journal.position() == written[-1].seq

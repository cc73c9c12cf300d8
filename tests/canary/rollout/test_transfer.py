"""The journal as a whole: verified row by row, copied with every position, and never into what has entries."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from canary.errors import JournalError, RefusedError
from canary.rollout.entries import Advanced, Held, RollbackDecided
from canary.rollout.journal.journal import JOURNAL, METADATA, Journal
from canary.rollout.transfer import Verdict, copy, verify
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
WHO: dict[str, Any] = {"rollout": "r1", "at": NOON, "actor": "bob"}


@pytest.fixture
def url(tmp_path: Path) -> Callable[[str], URL]:
    """The address of an SQLite file of this name."""
    return lambda name: make_url(f"sqlite+aiosqlite:///{tmp_path / name}.db")


async def _filled(url: URL, service: str = "shop") -> URL:
    """A journal with four entries of the service."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    journal = Journal(engine, service)
    for entry in (started("r1", NOON), Advanced(**WHO, phase=1), Held(**WHO), RollbackDecided(**WHO, cause="manual")):
        await journal.append(entry)
    await engine.dispose()
    return url


async def _run(url: URL, statement: sa.Executable) -> list[tuple[object, ...]]:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        result = await connection.execute(statement)
        rows = [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return rows


async def test_a_copy_has_every_row_at_its_position(url: Callable[[str], URL]) -> None:
    """Also one that this version does not understand: a newer one may."""
    source, target = await _filled(url("source")), url("target")
    await _run(source, JOURNAL.update().where(JOURNAL.c.seq == 3).values(kind="frozen"))

    assert await copy(source, target, "shop") == 4

    assert await _run(target, sa.select(JOURNAL)) == await _run(source, sa.select(JOURNAL))


async def test_a_whole_journal_has_no_faults(url: Callable[[str], URL]) -> None:
    """Every row is understood and follows the one before it; another service's rows are not counted."""
    source = await _filled(url("source"))
    await _filled(source, "other")

    assert await verify(source, "shop") == Verdict(4, ())


async def test_rows_that_are_missing_or_not_understood_are_named(url: Callable[[str], URL]) -> None:
    """By their numbers, so that a person can look at them."""
    source = await _filled(url("source"))
    await _run(source, JOURNAL.delete().where(JOURNAL.c.seq.in_([1, 3])))
    await _run(source, JOURNAL.update().where(JOURNAL.c.seq == 4).values(data="{"))

    verdict = await verify(source, "shop")

    assert verdict.rows == 2
    assert [fault.split(":")[0] for fault in verdict.faults] == ["row 4", "row 4", "row 2"]
    assert "'rollback' is not understood" in verdict.faults[0]
    assert "rows are missing" in verdict.faults[1]
    assert "which is missing" in verdict.faults[2]


async def test_nothing_is_copied_over_entries(url: Callable[[str], URL]) -> None:
    """Neither over the service's own, nor where another service has the positions that entries refer to."""
    source, target = await _filled(url("source")), await _filled(url("target"))
    shared = await _filled(url("shared"), "other")

    with pytest.raises(RefusedError, match="it has entries of shop already"):
        await copy(source, target, "shop")
    with pytest.raises(RefusedError, match="another service has entries at the same positions"):
        await copy(source, shared, "shop")
    assert await _run(shared, sa.select(JOURNAL.c.service).distinct()) == [("other",)]


async def test_a_database_that_is_not_there_is_the_journals_error(tmp_path: Path) -> None:
    """In one line, with which one."""
    with pytest.raises(JournalError, match=r"journal sqlite.*missing"):
        await verify(make_url(f"sqlite+aiosqlite:///{tmp_path}/missing/state.db"), "shop")

"""The journal: what is appended is there for every reader, in order, and never decided twice from the same past."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from canary.errors import JournalConflictError, JournalContentError, JournalError
from canary.policy.model import Policy, State
from canary.rollout.entries import Entry, Held, RollbackDecided, Unknown
from canary.rollout.journal.journal import Journal, journal_url
from canary.rollout.journal.texts import REFUSED
from canary.rollout.kinds import Kind
from canary.rollout.state import Rollout
from tests.support.databases.postgres import Postgres
from tests.support.receiving.entries import entry as entry_of
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
STARTED = started("r1", NOON)


def note(text: str, rollout: str = "r1") -> Entry:
    """A note."""
    return entry_of(rollout, Kind.RECORDED, NOON, "ann", text, {"key": text})


async def test_entries_come_back_as_written(journal: Journal, policy: Policy) -> None:
    """Another reader sees every entry, whole and in order, with rising positions."""
    written = [await journal.append(STARTED), await journal.append(note('Ä \n "quoted" \'; DROP TABLE'))]

    async with Journal.open(policy) as other:
        read = await other.entries()

    assert read == written
    assert [entry.seq for entry in read] == sorted({entry.seq for entry in read})
    assert read[0].at == NOON


async def test_the_newest_rollout_is_the_current_one(journal: Journal) -> None:
    """Before the first there is none; then the newest counts, and entries can be had by rollout and position."""
    assert await journal.current() is None
    first = await journal.append(STARTED)
    await journal.append(entry_of("r2", Kind.STARTED, NOON, "ann", "", STARTED.data()))

    current = await journal.current()

    assert isinstance(current, Rollout)
    assert current.id == "r2"
    assert await journal.entries("r1") == [first]
    assert [entry.rollout for entry in await journal.entries(after=first.seq)] == ["r2"]


async def test_services_do_not_see_each_other(journal: Journal, policy: Policy) -> None:
    """Two services may share a database."""
    await journal.append(STARTED)

    async with Journal.open(Policy(service="other", state=policy.state, base=policy.base)) as other:
        assert await other.current() is None
        assert await other.position() == 0
        await other.append(STARTED)

    assert len(await journal.entries()) == 1


async def test_nobody_decides_from_an_old_past(journal: Journal) -> None:
    """An entry that is meant to follow another one than the newest is refused, and nothing is written."""
    first = await journal.append(STARTED)
    await journal.append(note("meanwhile"), after=first.seq)

    with pytest.raises(JournalConflictError, match="somebody else wrote meanwhile"):
        await journal.append(note("too late"), after=first.seq)

    assert [entry.reason for entry in await journal.entries()] == ["v2.0 against v1.0", "meanwhile"]


async def test_nobody_writes_on_in_another_journal(journal: Journal) -> None:
    """An older copy that others went on writing is as long as the one that was read, and is not that one."""
    first = await journal.append(STARTED)
    read = dataclasses.replace(await journal.append(note("theirs"), after=first), at=NOON + timedelta(minutes=5))

    with pytest.raises(JournalConflictError):
        await journal.append(note("ours"), after=read)

    assert [entry.reason for entry in await journal.entries()] == ["v2.0 against v1.0", "theirs"]


async def test_of_many_writers_at_once_one_wins(policy: Policy) -> None:
    """Writers who decide from the same past at the same time: one is let in, all others are told."""
    async with Journal.open(policy) as one, Journal.open(policy) as two:
        first = await one.append(STARTED)
        attempts = [
            journal.append(note(f"n{number}"), after=first.seq) for number in range(5) for journal in (one, two)
        ]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        entries = await one.entries()

    assert sum(isinstance(result, Entry) for result in results) == 1
    assert all(isinstance(result, Entry | JournalError) for result in results)
    assert len(entries) == 2


async def test_what_is_written_is_on_disk(tmp_path: Path) -> None:
    """SQLite is told to wait for the disk at every entry."""
    policy = Policy(service="shop", base=str(tmp_path))
    async with Journal.open(policy) as journal, journal._engine.connect() as connection:
        synchronous = (await connection.exec_driver_sql("PRAGMA synchronous")).scalar()
        mode = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar()

    assert (synchronous, mode) == (2, "wal")


async def test_what_is_not_understood_is_kept_and_passed_over(journal: Journal) -> None:
    """A kind of a newer version and damaged rows are shown with their number, and everything else is read."""
    first = await journal.append(STARTED)
    strange = Unknown(rollout="r1", at=NOON, actor="ann", reason="", written_kind="teleported")
    newer = await journal.append(strange)
    damaged = [await journal.append(note("x")) for _ in range(4)]
    for entry, damage in zip(damaged, ("data='{'", "data='[1]'", "kind='advanced'", "at='not a time'"), strict=True):
        async with journal._engine.begin() as connection:
            await connection.exec_driver_sql(f"UPDATE canary_journal SET {damage} WHERE seq = {entry.seq}")

    entries = await journal.entries()
    current = await journal.current()

    assert [entry.seq for entry in entries] == [first.seq, newer.seq, *(entry.seq for entry in damaged)]
    assert all(isinstance(entry, Unknown) and entry.fault for entry in entries[1:])
    assert entries[1].label == "teleported"
    assert current is not None
    assert current.id == "r1"


HOSTILE = "\0 \ud800 \x1b]0;owned\x07 \u202eevil " + "x" * 100_000


async def test_every_text_is_taken_and_can_be_shown(journal: Journal) -> None:
    """NUL, halves of surrogate pairs, escape sequences, a text without end: in every column and in the data."""
    hostile = Held(rollout="r1", at=NOON, actor=HOSTILE, reason=HOSTILE, cause=HOSTILE, request=HOSTILE)
    written = await journal.append(hostile)

    assert await journal.entries() == [written]
    assert written.reason.startswith("\\x00 \\ud800 \\x1b]0;owned\\x07 \\u202eevil xxx")
    assert len(written.actor) <= 256
    assert len(written.reason) < 5000


async def refuse(policy: Policy, condition: str) -> None:
    """Let the journal's owner refuse some rows, by a constraint or a trigger."""
    engine = create_async_engine(journal_url(policy))
    async with engine.begin() as connection:
        if engine.url.get_backend_name() == "sqlite":
            trigger = (
                f"CREATE TRIGGER refuse BEFORE INSERT ON canary_journal WHEN NOT ({condition.replace('%', 'new.')})"
            )
            await connection.exec_driver_sql(f"{trigger} BEGIN SELECT RAISE(ABORT, 'not here'); END")
        else:
            constraint = condition.replace("%", "")
            await connection.exec_driver_sql(f"ALTER TABLE canary_journal ADD CONSTRAINT refuse CHECK ({constraint})")
    await engine.dispose()


async def test_an_entry_that_is_refused_is_written_in_a_plainer_form(
    journal: Journal, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """What the database's owner refuses is written with less text, says so, also in the log, and decides the same."""
    await refuse(policy, "length(%reason) < 100")
    await journal.append(STARTED)

    written = await journal.append(
        RollbackDecided(rollout="r1", at=NOON, actor="ann", reason="x" * 200, cause="manual")
    )

    assert written.reason == REFUSED
    assert await journal.entries(after=1) == [written]
    told = [(one.levelname, one.getMessage(), vars(one)["canary_fields"]) for one in caplog.records]
    assert [line[:2] for line in told] == [("ERROR", "the journal refuses what an entry says")] * 2
    assert all(fields["kind"] == "rollback" for *_, fields in told)
    assert all(isinstance(fields["error"], JournalContentError) for *_, fields in told)


async def test_what_is_refused_in_every_form_is_no_conflict_and_no_outage(journal: Journal, policy: Policy) -> None:
    """It is told apart from a database that is away and from another writer, and what follows is written."""
    await refuse(policy, "%kind <> 'rollback'")
    await journal.append(STARTED)

    with pytest.raises(JournalContentError, match=r"refuse|not here"):
        await journal.append(RollbackDecided(rollout="r1", at=NOON, actor="ann", reason="x", cause="manual"), after=1)

    assert (await journal.append(note("later"), after=1)).seq > 1


async def test_a_database_of_another_encoding_takes_what_it_can(postgres: Postgres, tmp_path: Path) -> None:
    """A PostgreSQL that knows Latin letters only gets the others written out."""
    policy = Policy(service="shop", state=State(url=postgres.new_database("LATIN1")), base=str(tmp_path))
    async with Journal.open(policy) as journal:
        written = await journal.append(Held(rollout="r1", at=NOON, actor="Jürgen", reason="統計", cause="manual"))

        assert written.reason == f"\\u7d71\\u8a08 {REFUSED}"
        assert await journal.entries() == [written]


@pytest.mark.parametrize(
    "damage",
    [
        "at=replace(at, 'Z', '')",
        "data=replace(data, '[0.05', '[7')",
        "data=replace(data, '[0.05', '[-1')",
        "data=replace(data, '[0.05', '[NaN')",
        "data=replace(data, '[0.05', '[0.05, 0.1')",
        "data=replace(data, '_seconds\": [', '_seconds\": [NaN, ')",
    ],
)
async def test_values_that_break_arithmetic_are_not_understood(journal: Journal, damage: str) -> None:
    """A moment without a zone, a share beyond everybody, a phase without a duration: kept, and no start."""
    await journal.append(STARTED)
    async with journal._engine.begin() as connection:
        await connection.exec_driver_sql(f"update canary_journal set {damage}")

    (entry,) = await journal.entries()

    assert isinstance(entry, Unknown)
    assert await journal.current() is None


async def test_a_text_that_is_not_utf8_hides_no_other_row(tmp_path: Path) -> None:
    """SQLite keeps any bytes: what can be read of the row is, and the rest of the journal is whole."""
    policy = Policy(service="shop", state=State(url="sqlite:///state.db"), base=str(tmp_path))
    async with Journal.open(policy) as journal:
        await journal.append(STARTED)
        damaged = await journal.append(note("x"))
        async with journal._engine.begin() as connection:
            await connection.exec_driver_sql(
                f"update canary_journal set reason = cast(x'41ff42' as text) where seq = {damaged.seq}"
            )

        first, second = await journal.entries()

    assert (first.kind, second.reason) == (Kind.STARTED, "A\ufffdB")

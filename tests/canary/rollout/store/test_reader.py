"""What has been read of the journal: only what is new, and whether it can be what was decided."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from canary.errors import JournalError
from canary.rollout.entries import Adopted, Advanced, Entry, Held, RollbackDecided, Unknown
from canary.rollout.journal.rows import ROLLOUTS
from canary.rollout.state import State
from canary.rollout.store.reader import JournalReader
from canary.testing.journal import MemoryJournal, Table
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ADVANCED = Advanced(rollout="r1", at=NOON, actor="ann", phase=1, request="k")
ADOPTED = Adopted(**{**vars(started("r9", NOON)), "weight": 0.05})
PAUSED = Unknown(rollout="r1", at=NOON, actor="x", written_kind="paused", fault="no kind of this version", seq=9)


class Away:
    """Keeps a journal from answering for as long as a test says."""

    def __init__(self) -> None:
        self.now = False

    async def __call__(self, operation: str) -> None:
        """Raise while it is away."""
        if self.now:
            raise JournalError("connection refused", place="journal")


@pytest.fixture
def table() -> Table:
    """A journal's rows: a rollout that has advanced once."""
    made = Table()
    for entry in (started("r1", NOON), ADVANCED):
        append(made, entry)
    return made


def append(table: Table, entry: Entry) -> Entry:
    """What another receiver writes."""
    return table.insert("shop", entry, ROLLOUTS)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    """What an administrator reads."""
    return [(record.getMessage(), vars(record)["canary_fields"]) for record in caplog.records]


async def test_each_entry_is_taken_and_told_once(table: Table) -> None:
    """Whoever listens hears of what others wrote, in order, and not again at the next look."""
    reader, heard = JournalReader(MemoryJournal(table, "shop")), list[str]()
    reader.listen(lambda entry: heard.append(entry.label))
    for _ in range(3):
        await reader.renew()
    append(table, RollbackDecided(rollout="r1", at=NOON, actor="bob", cause="manual"))
    await reader.renew()

    assert heard == ["started", "advanced", "rollback"]
    assert (reader.position, reader.rollouts["r1"].state) == (3, State.ROLLING_BACK)
    assert "k" in reader.requests


async def test_a_journal_that_was_never_read_is_said_with_why() -> None:
    """Once it was read, an outage is no fault of the journal: what was decided is known."""
    away = Away()
    reader = JournalReader(MemoryJournal(Table(), "shop", before=away))
    assert reader.fault == "the journal has not been read yet"
    for _ in range(2):
        away.now = True
        with pytest.raises(JournalError):
            await reader.renew()
        assert reader.fault == "the journal cannot be read (journal: connection refused)"

    away.now = False
    await reader.renew()
    away.now = True
    with pytest.raises(JournalError):
        await reader.renew()

    assert reader.fault == ""


@pytest.mark.parametrize(("left", "phase"), [(1, 0), (0, None)])
async def test_a_journal_that_has_lost_entries_is_not_believed(table: Table, left: int, phase: int | None) -> None:
    """However little is left of it: until it goes as far again as what was read, or a person begins in it anew."""
    reader = JournalReader(MemoryJournal(table, "shop"))
    await reader.renew()
    table.truncate("shop", left)
    await reader.renew()

    lost = f"the journal is older than what was read from it before (position {left}, known up to 2)"
    assert (reader.fault, reader.rollouts["r1"].phase) == (lost, 1)

    reader.begin(table.entries("shop"))

    assert (reader.fault, reader.position) == ("", left)
    assert reader.end == (table.entries("shop")[-1] if left else 0)
    assert [one.phase for one in reader.rollouts.values()] == ([] if phase is None else [phase])


@pytest.mark.parametrize("went_on", [False, True])
async def test_an_older_copy_that_others_went_on_writing_is_not_believed(table: Table, *, went_on: bool) -> None:
    """As long as before, or longer: the row that was read last is another one."""
    reader = JournalReader(MemoryJournal(table, "shop"))
    await reader.renew()
    table.truncate("shop", 1)
    append(table, RollbackDecided(rollout="r1", at=NOON, actor="bob", cause="manual"))
    if went_on:
        append(table, started("r2", NOON))
    await reader.renew()

    assert reader.fault == "the journal is another one than was read before (row 2 has changed)"
    assert list(reader.rollouts) == ["r1"]


async def test_an_adoption_through_another_receiver_ends_the_doubt(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    """What a person has said there counts here; it is told, with what came after it, and logged."""
    reader, heard = JournalReader(MemoryJournal(table, "shop")), list[str]()
    await reader.renew()
    reader.listen(lambda entry: heard.append(entry.label))
    table.truncate("shop", 1)
    append(table, ADOPTED)
    append(table, Held(rollout="r9", at=NOON, actor="ann"))
    await reader.renew()

    assert heard == ["adopted", "held"]
    assert (reader.fault, list(reader.rollouts), reader.position) == ("", ["r1", "r9"], 3)
    assert logged(caplog) == [("the journal is taken as it is, for somebody has adopted it", {"rollout": "r9"})]


@pytest.mark.parametrize("known_by_doubt", [False, True])
async def test_an_adoption_ends_one_doubt(table: Table, *, known_by_doubt: bool) -> None:
    """What a person has said about an earlier journal says nothing about what is lost from then on."""
    reader = JournalReader(MemoryJournal(table, "shop"))
    if known_by_doubt:
        await reader.renew()
        table.truncate("shop", 1)
    append(table, ADOPTED)
    append(table, Held(rollout="r9", at=NOON, actor="ann"))
    await reader.renew()
    assert reader.fault == ""
    table.truncate("shop", len(table.entries("shop")) - 1)

    await reader.renew()

    assert reader.fault.startswith("the journal is older than what was read from it before")


async def test_rows_after_an_adoption_through_another_receiver_may_decide(table: Table) -> None:
    """What was not understood before it is settled by it; what comes after it may be a hold."""
    reader = JournalReader(MemoryJournal(table, "shop"))
    append(table, PAUSED)
    await reader.renew()
    assert reader.unread.startswith("row 3 ")
    table.truncate("shop", 1)
    append(table, ADOPTED)
    append(table, replace(PAUSED, rollout="r9"))

    await reader.renew()

    assert reader.unread == "row 3 of the journal, 'paused', is not understood (no kind of this version)"
    reader.begin(table.entries("shop")[:-1])
    assert reader.unread == ""


async def test_rows_that_may_decide_are_counted_until_the_next_start(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is logged. What only remembers something cannot decide; a new rollout begins with a plan that is known."""
    reader = JournalReader(MemoryJournal(table, "shop"))
    for entry in (replace(PAUSED, seq=7), replace(PAUSED, written_kind="noted", may_decide=False), PAUSED):
        reader.take(entry)

    assert reader.unread == "row 7 of the journal, 'paused', is not understood (no kind of this version), and 1 more"
    why = "no kind of this version"
    assert logged(caplog) == [
        ("journal row not understood", {"row": row, "kind": "paused", "fault": why}) for row in (7, 9)
    ]

    reader.take(started("r2", NOON))

    assert reader.unread == ""

"""What was lowered and not written outlives the process, and is written about the rollout that the journal shows."""

from collections.abc import Callable

import pytest

from canary.errors import JournalError
from canary.rollout.commands.commands import RollBack
from canary.rollout.entries import Entry, RollbackDecided
from canary.rollout.journal.rows import ROLLOUTS
from canary.rollout.kinds import Cause, Kind
from canary.rollout.state import State
from canary.rollout.store.marker import Marker
from canary.rollout.store.recalled import UNKNOWN
from canary.rollout.store.store import RolloutStore
from canary.testing.journal import MemoryJournal, Table
from canary.testing.sidefile import Disk, MemorySideFile
from tests.support.clock import FakeClock
from tests.support.receiving.entries import started
from tests.support.receiving.journals import Gate

NOON = FakeClock().now()


class Machine:
    """What outlives the processes on it.

    Attributes:
        marker: of the process that runs now.
    """

    def __init__(self, gate: Gate) -> None:
        self.table = Table()
        self.table.insert("shop", started("r1", NOON), ROLLOUTS)
        self._gate = gate
        self._disk = Disk()
        self.marker = self.new_marker()

    def new_marker(self) -> Marker:
        """Reads what is on the disk."""
        return Marker(MemorySideFile(self._disk, "unwritten"))

    def store(self, *, marked: bool = True) -> RolloutStore:
        """The store of a process that begins."""
        self.marker = self.new_marker()
        journal = MemoryJournal(self.table, "shop", before=self._gate)
        return RolloutStore(journal, FakeClock(), self.marker if marked else None)

    async def left(self) -> list[Entry]:
        """What the next process would find."""
        await self.marker.written()
        return await self.new_marker().recall()

    def kinds(self) -> list[Kind]:
        """What is in the journal."""
        return [entry.kind for entry in self.table.entries("shop")]


@pytest.fixture
def machine(gate: Gate) -> Machine:
    """One on whose journal a rollout has begun."""
    return Machine(gate)


@pytest.fixture
async def rolled_back(machine: Machine, gate: Gate) -> Machine:
    """A process has rolled back without the journal, and has ended."""
    store = machine.store()
    await store.refresh()
    gate.away = True
    with pytest.raises(JournalError):
        await store.propose(None, RollBack(actor="bob", reason="bad"))
    await machine.marker.written()
    return machine


async def test_what_was_recalled_waits_for_the_journal(rolled_back: Machine, gate: Gate) -> None:
    """However long it is away after the restart; then it is told once, and written."""
    store, heard = rolled_back.store(), list[Kind]()
    store.listen(lambda entry: heard.append(entry.kind))
    await store.recall()
    with pytest.raises(JournalError):
        await store.refresh()
    assert (heard, [entry.kind for entry in await rolled_back.left()]) == ([], [Kind.ROLLBACK])

    gate.away = False
    await store.refresh()

    assert heard == [Kind.STARTED, Kind.ROLLBACK]
    assert rolled_back.kinds() == [Kind.STARTED, Kind.ROLLBACK]
    assert await rolled_back.left() == []


async def test_what_is_recalled_when_the_journal_is_known_counts_at_once(rolled_back: Machine, gate: Gate) -> None:
    """Nothing is raised between the recall and the next look."""
    gate.away = False
    store = rolled_back.store()
    await store.refresh()
    assert store.unwritten == []

    await store.recall()

    assert store.rollout is not None
    assert store.rollout.state is State.ROLLING_BACK
    assert [(entry.actor, entry.reason) for entry in store.unwritten] == [("bob", "bad")]


def _given(machine: Machine) -> RolloutStore:
    return machine.store()


def _handed_later(machine: Machine) -> RolloutStore:
    store = machine.store(marked=False)
    store.remember(machine.marker)
    return store


@pytest.mark.parametrize("begin", [_given, _handed_later])
async def test_what_was_lowered_blind_is_about_the_rollout_that_is_found(
    machine: Machine, begin: Callable[[Machine], RolloutStore]
) -> None:
    """Remembered, as it is shown, until the journal shows which rollout runs, and written about that one."""
    store = begin(machine)
    entry = store.lowered_blind(actor="bob", reason="bad\0")
    assert entry == RollbackDecided(rollout=UNKNOWN, at=NOON, actor="bob", reason="bad\\x00", cause=Cause.MANUAL)
    assert await machine.left() == [entry]

    await store.refresh()

    (_, written) = machine.table.entries("shop")
    assert (written.kind, written.rollout, written.actor, written.reason) == (
        Kind.ROLLBACK,
        "r1",
        "bob",
        "bad\\x00",
    )
    assert await machine.left() == []

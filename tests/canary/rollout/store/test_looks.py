"""Looking at the journal: in time or not at all, once for all who ask together, and with what is not written yet."""

import asyncio
import gc
from typing import Any

import pytest

from canary.errors import JournalError
from canary.rollout.commands.commands import RollBack
from canary.rollout.entries import Advanced, Entry
from canary.rollout.journal.rows import ROLLOUTS
from canary.rollout.kinds import Kind
from canary.rollout.store.store import RolloutStore
from canary.testing.journal import MemoryJournal, Table
from tests.support.clock import FakeClock
from tests.support.receiving.entries import started
from tests.support.receiving.journals import Gate

NOON = FakeClock().now()


@pytest.fixture
def table() -> Table:
    """A journal's rows: two rollouts have begun."""
    made = Table()
    for rollout in ("r0", "r1"):
        made.insert("shop", started(rollout, NOON), ROLLOUTS)
    return made


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the store under test."""
    return FakeClock()


@pytest.fixture
def store(table: Table, gate: Gate, clock: FakeClock) -> RolloutStore:
    """A store that has not looked yet."""
    return RolloutStore(MemoryJournal(table, "shop", before=gate), clock)


def phase(store: RolloutStore) -> int | None:
    """How far the newest rollout has got, as the store knows it."""
    return None if store.rollout is None else store.rollout.phase


def advanced(table: Table, phase: int) -> None:
    """What another receiver writes."""
    table.insert("shop", Advanced(rollout="r1", at=NOON, actor="ann", phase=phase), ROLLOUTS)


async def test_nobody_waits_longer_than_they_want(store: RolloutStore, gate: Gate) -> None:
    """Neither for a journal that hangs, nor in line behind somebody who waits for it; the look goes on without them."""
    gate.answering.clear()
    for _ in range(2):
        with pytest.raises(JournalError) as told:
            async with asyncio.timeout(5):
                await store.refresh(within_seconds=0.01)
        assert str(told.value) == "journal: it does not answer in time; see what its database waits for"
    assert gate.asked == ["entries"]

    gate.answering.set()
    await store.refresh(within_seconds=5)

    assert phase(store) == 0


async def test_a_failure_that_comes_too_late_is_nobodys(
    store: RolloutStore, gate: Gate, complaints: list[dict[str, Any]]
) -> None:
    """Whoever asked has left: it is no error of the program, and the next one looks anew."""
    gate.answering.clear()
    with pytest.raises(JournalError, match="in time"):
        await store.refresh(within_seconds=0.01)
    gate.away = True
    gate.answering.set()
    with pytest.raises(JournalError, match="disk is full"):
        await store.refresh()
    gc.collect()

    assert (complaints, gate.asked) == ([], ["entries"] * 2)


async def test_those_who_ask_for_news_together_share_one_look(
    store: RolloutStore, table: Table, gate: Gate, clock: FakeClock
) -> None:
    """Under a flood of alerts the journal is asked ten times a second; after a pause at once."""
    await store.refresh()
    begun = clock.monotonic()
    advanced(table, 1)
    await asyncio.gather(*(store.catch_up() for _ in range(3)))

    assert (phase(store), len(gate.asked)) == (1, 2)
    assert clock.monotonic() - begun == pytest.approx(0.1)

    clock.advance(10)
    advanced(table, 2)
    await store.catch_up()

    assert (phase(store), len(gate.asked)) == (2, 3)
    assert clock.monotonic() - begun == pytest.approx(10.1)


async def test_whoever_stops_waiting_for_news_takes_them_from_nobody(store: RolloutStore, gate: Gate) -> None:
    """The look is shared, and goes on for the others."""
    gate.answering.clear()
    leaving, staying = (asyncio.ensure_future(store.catch_up()) for _ in range(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    gate.answering.set()
    await staying

    assert (phase(store), leaving.cancelled()) == (0, True)


async def test_before_the_first_look_news_are_asked_for_at_once(store: RolloutStore, clock: FakeClock) -> None:
    """There is no earlier look to keep a distance from."""
    begun = clock.monotonic()
    await store.catch_up()

    assert (phase(store), clock.monotonic()) == (0, begun)


async def test_trouble_with_the_journal_is_left_to_whoever_must_write(store: RolloutStore, gate: Gate) -> None:
    """Who only asks for news decides from what is known."""
    await store.refresh()
    gate.away = True
    await store.catch_up()

    assert phase(store) == 0


async def test_entries_are_given_with_what_is_not_written_yet(store: RolloutStore, gate: Gate) -> None:
    """Of all rollouts or of one, all of them or the newer ones."""
    await store.refresh()
    gate.trouble = {"append": JournalError}
    with pytest.raises(JournalError):
        await store.propose(None, RollBack(actor="bob"))

    everything = [(entry.rollout, entry.kind) for entry in await store.entries()]
    assert everything == [("r0", Kind.STARTED), ("r1", Kind.STARTED), ("r1", Kind.ROLLBACK)]
    assert [(entry.rollout, entry.kind) for entry in await store.entries("r1")] == everything[1:]
    assert [(entry.rollout, entry.kind) for entry in await store.entries("r0")] == everything[:1]
    assert [(entry.rollout, entry.kind) for entry in await store.entries(after=1)] == everything[1:]


async def test_whoever_leaves_hears_no_more(store: RolloutStore, table: Table) -> None:
    """The others do."""
    left, stayed = list[Kind](), list[Kind]()

    def leaver(entry: Entry) -> None:
        left.append(entry.kind)

    store.listen(leaver)
    store.listen(lambda entry: stayed.append(entry.kind))
    await store.refresh()
    store.forget(leaver)
    advanced(table, 1)
    await store.refresh()

    assert (left, stayed) == ([Kind.STARTED] * 2, [Kind.STARTED, Kind.STARTED, Kind.ADVANCED])

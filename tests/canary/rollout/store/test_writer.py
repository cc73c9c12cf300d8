"""Writing into the journal: in the order of deciding, and acted upon without it where traffic is lowered."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from canary.errors import JournalConflictError, JournalError, RefusedError
from canary.rollout.commands.commands import Command, Hold, RollBack
from canary.rollout.entries import Advanced, Entry
from canary.rollout.journal.rows import ROLLOUTS
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from canary.rollout.store.reader import JournalReader
from canary.rollout.store.unwritten import Pending, Unwritten
from canary.rollout.store.writer import ATTEMPTS, JournalWriter
from canary.testing.journal import MemoryJournal, Table
from tests.support.receiving.entries import started
from tests.support.receiving.journals import Gate

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ADVANCED = Advanced(rollout="r1", at=NOON, actor="ann", phase=1)


class Shop:
    """A writer on a journal in memory that a test can take away.

    Attributes:
        heard: kinds of the entries that listeners were told of.
    """

    def __init__(self, gate: Gate) -> None:
        self.table = Table()
        self.table.insert("shop", started("r1", NOON), ROLLOUTS)
        self.reader = JournalReader(MemoryJournal(self.table, "shop", before=gate))
        self.unwritten = Unwritten(None)
        self.lock = asyncio.Lock()
        self.writer = JournalWriter(self.reader, self.lock, self.unwritten)
        self.heard: list[Kind] = []
        self.reader.listen(lambda entry: self.heard.append(entry.kind))

    def queue(self, command: Command, request: str = "") -> Pending:
        """What a command that lowers is now, in the queue."""
        entry = command.entry(self.reader.rollouts["r1"], NOON)
        pending = Pending(replace(entry, request=request), command)
        self.unwritten.pending.append(pending)
        return pending

    def written_elsewhere(self, entry: Entry) -> None:
        """What another receiver writes."""
        self.table.insert("shop", entry, ROLLOUTS)

    def kinds(self) -> list[Kind]:
        """What is in the journal."""
        return [entry.kind for entry in self.table.entries("shop")]

    async def locked(self, work: Callable[[], Awaitable[object]]) -> None:
        """As a caller that holds the lock."""
        async with self.lock:
            await work()


@pytest.fixture
async def shop(gate: Gate) -> Shop:
    """A rollout that has begun, and was read."""
    made = Shop(gate)
    await made.reader.renew()
    made.heard.clear()
    return made


async def test_what_lowers_is_written_before_it_counts(shop: Shop) -> None:
    """Where the journal answers, nothing is done without it, and everybody is notified once."""
    written = await shop.writer.lower(shop.queue(RollBack(actor="bob")))

    assert (written.seq, shop.heard, shop.unwritten.entries) == (2, [Kind.ROLLBACK], [])


async def test_what_cannot_be_written_counts_and_is_written_later(
    shop: Shop, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """Told at once, to an administrator too, and not again when it is written."""
    gate.away = True
    with pytest.raises(JournalError, match="disk is full"):
        await shop.writer.lower(shop.queue(RollBack(actor="bob")))
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["canary_fields"]) == (
        "acting without the journal",
        {"kind": "rollback", "rollout": "r1"},
    )
    assert shop.heard == [Kind.ROLLBACK]
    assert [entry.kind for entry in shop.unwritten.entries] == [Kind.ROLLBACK]

    gate.away = False
    await shop.locked(shop.writer.flush)

    assert shop.kinds() == [Kind.STARTED, Kind.ROLLBACK]
    assert (shop.heard, shop.unwritten.entries) == ([Kind.ROLLBACK], [])


async def test_what_waits_is_written_in_the_order_of_deciding(shop: Shop, gate: Gate) -> None:
    """A hold, then a rollback; the other way round the hold would be refused."""
    gate.away = True
    for command in (Hold(actor="alertmanager", cause="CanaryBlind"), RollBack(actor="bob")):
        with pytest.raises(JournalError):
            await shop.writer.lower(shop.queue(command))

    gate.away = False
    await shop.locked(shop.writer.flush)

    assert shop.kinds() == [Kind.STARTED, Kind.HELD, Kind.ROLLBACK]


async def test_what_another_receiver_did_meanwhile_is_not_written_again(shop: Shop) -> None:
    """The command is asked again in the state that is there by then."""
    pending = shop.queue(RollBack(actor="bob"))
    shop.written_elsewhere(pending.entry)

    with pytest.raises(RefusedError, match="already rolling back"):
        await shop.writer.lower(pending)

    assert shop.kinds() == [Kind.STARTED, Kind.ROLLBACK]
    assert shop.reader.rollouts["r1"].state is State.ROLLING_BACK


async def test_what_the_journal_refuses_for_what_it_says_keeps_nothing_back(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts for as long as its rollout is the newest, which is logged with why, and the next one is written."""
    shop.table.refuses = lambda entry: entry.kind is Kind.HELD
    await shop.writer.lower(shop.queue(Hold(actor="bob")))
    record = caplog.records[-1]
    assert record.getMessage() == "decided, and in no form taken by the journal"
    assert str(vars(record)["canary_fields"]["error"]) == "journal: the database refuses this text"
    await shop.writer.lower(shop.queue(RollBack(actor="bob")))
    assert [entry.kind for entry in shop.unwritten.entries] == [Kind.HELD]
    assert shop.kinds() == [Kind.STARTED, Kind.ROLLBACK]

    shop.reader.take(started("r2", NOON))

    assert shop.unwritten.entries == []


async def test_what_raises_is_in_the_journal_or_nowhere(shop: Shop, gate: Gate) -> None:
    """Nobody hears of what could not be written."""
    gate.away = True
    with pytest.raises(JournalError):
        await shop.locked(lambda: shop.writer.append(ADVANCED))
    assert (shop.heard, shop.unwritten.entries) == ([], [])

    gate.away = False
    await shop.locked(lambda: shop.writer.append(ADVANCED))

    assert (shop.heard, shop.reader.position, shop.reader.fault) == ([Kind.ADVANCED], 2, "")


async def test_trouble_with_what_stands_behind_is_no_answer(shop: Shop, gate: Gate) -> None:
    """The disk is full after the first of two: only whoever decided the second hears of it."""
    hold, rollback = shop.queue(Hold(actor="bob")), shop.queue(RollBack(actor="eve"))

    def fill(_service: str, _entry: Entry) -> None:
        gate.away = True

    shop.table.appended = fill

    assert (await shop.writer.lower(hold)).seq == 2
    with pytest.raises(JournalError, match="disk is full"):
        await shop.writer.lower(rollback)
    assert (shop.heard, shop.kinds()) == ([Kind.HELD, Kind.ROLLBACK], [Kind.STARTED, Kind.HELD])


async def test_what_is_found_written_already_keeps_nothing_back(shop: Shop) -> None:
    """The receipt of a hold was lost; the rollback behind it is written by the same look."""
    hold = shop.queue(Hold(actor="bob"), request="k")
    shop.queue(RollBack(actor="bob"))
    shop.written_elsewhere(hold.entry)
    await shop.reader.renew()

    await shop.locked(shop.writer.flush)

    assert shop.kinds() == [Kind.STARTED, Kind.HELD, Kind.ROLLBACK]
    assert (shop.unwritten.pending, hold.written and hold.written.seq) == ([], 2)


async def test_what_lowers_a_rollout_never_lowers_the_next(shop: Shop) -> None:
    """Another receiver has begun it while this one's rollback waited to be written."""
    pending = shop.queue(RollBack(actor="bob"))
    shop.written_elsewhere(started("r2", NOON))

    with pytest.raises(RefusedError) as refused:
        await shop.writer.lower(pending)

    assert str(refused.value) == "rollout r1 is not the present one any more"
    assert (shop.kinds(), shop.heard) == ([Kind.STARTED] * 2, [Kind.STARTED])


async def test_whoever_waits_in_line_acts_no_more_upon_what_is_settled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its moment is over, and meanwhile somebody else has written it, or found that it is not wanted."""
    monkeypatch.setattr("canary.rollout.store.writer._PATIENCE_SECONDS", 0.01)
    first, second = (shop.queue(RollBack(actor=actor)) for actor in ("bob", "eve"))
    async with shop.lock:
        lowering = [asyncio.ensure_future(shop.writer.lower(pending)) for pending in (first, second)]
        await shop.writer.flush()
        await asyncio.sleep(0.1)
    written, refused = await asyncio.gather(*lowering, return_exceptions=True)

    assert (written, shop.heard) == (shop.table.entries("shop")[-1], [Kind.ROLLBACK])
    assert isinstance(refused, RefusedError)


async def test_what_is_asked_for_twice_is_told_once(shop: Shop, gate: Gate) -> None:
    """The journal is away for both requests."""
    gate.away = True
    pending = shop.queue(RollBack(actor="bob"), request="k")
    for _ in range(2):
        with pytest.raises(JournalError):
            await shop.writer.lower(pending)

    assert shop.heard == [Kind.ROLLBACK]


async def test_into_another_journal_nothing_is_written(shop: Shop) -> None:
    """What lowers is acted upon; whoever asks hears what is wrong with the journal, and what to do."""
    shop.table.truncate("shop", 0)
    await shop.reader.renew()
    with pytest.raises(JournalError) as told:
        await shop.writer.lower(shop.queue(RollBack(actor="bob")))

    assert str(told.value) == (
        "journal: the journal is older than what was read from it before (position 0, known up to 1);"
        " restore it, or `canary adopt`"
    )
    assert (shop.kinds(), shop.heard) == ([], [Kind.ROLLBACK])


async def test_who_is_always_outrun_is_told_so(shop: Shop, gate: Gate) -> None:
    """After a number of attempts; a rollback is acted upon."""
    gate.trouble = {"append": JournalConflictError}
    with pytest.raises(JournalConflictError) as told:
        await shop.writer.lower(shop.queue(RollBack(actor="bob")))

    assert str(told.value) == "journal: others keep writing; look again and decide anew"
    assert (gate.asked.count("append"), shop.heard) == (ATTEMPTS, [Kind.ROLLBACK])


async def test_an_answer_after_all_have_left_is_nobodys(
    shop: Shop, gate: Gate, complaints: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lowers is answered while the journal hangs; that it fails in the end is no error of the program."""
    for patience in ("_PATIENCE_SECONDS", "_ANSWER_SECONDS"):
        monkeypatch.setattr(f"canary.rollout.store.writer.{patience}", 0.01)
    gate.answering.clear()
    with pytest.raises(JournalError, match="acted upon, and not written yet"):
        await shop.writer.lower(shop.queue(RollBack(actor="bob")))

    gate.away = True
    gate.answering.set()
    await shop.lock.acquire()
    await asyncio.sleep(0)
    gc.collect()

    assert (complaints, len(shop.unwritten.entries)) == ([], 1)


async def test_a_journal_that_hangs_keeps_nobody_from_ending(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end its answer is waited for, and not for ever."""
    monkeypatch.setattr("canary.rollout.store.writer._ANSWER_SECONDS", 0.01)
    async with asyncio.timeout(5), shop.lock:
        await shop.writer.close()

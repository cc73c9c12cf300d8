"""Writing into the journal: in the order of deciding, and acted upon without it where traffic is lowered."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from canary.errors import JournalError, RefusedError
from canary.rollout.commands.commands import Command, Hold, RollBack
from canary.rollout.entries import Advanced
from canary.rollout.journal.rows import ROLLOUTS
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from canary.rollout.store.reader import JournalReader
from canary.rollout.store.unwritten import Pending, Unwritten
from canary.rollout.store.writer import JournalWriter
from canary.testing.journal import MemoryJournal, Table
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ADVANCED = Advanced(rollout="r1", at=NOON, actor="ann", phase=1)


class Shop:
    """A writer on a journal in memory that a test can take away.

    Attributes:
        away: whether the journal answers nothing but errors.
        heard: kinds of the entries that listeners were told of.
    """

    def __init__(self) -> None:
        self.away = False
        self.table = Table()
        self.table.insert("shop", started("r1", NOON), ROLLOUTS)
        self.reader = JournalReader(MemoryJournal(self.table, "shop", before=self._answer))
        self.unwritten = Unwritten(None)
        self.lock = asyncio.Lock()
        self.writer = JournalWriter(self.reader, self.lock, self.unwritten)
        self.heard: list[Kind] = []
        self.reader.listen(lambda entry: self.heard.append(entry.kind))

    async def _answer(self, _operation: str) -> None:
        if self.away:
            raise JournalError("disk is full", place="journal")

    def queue(self, command: Command) -> Pending:
        """What a command that lowers is now, in the queue."""
        pending = Pending(command.entry(self.reader.rollouts["r1"], NOON), command)
        self.unwritten.pending.append(pending)
        return pending

    def kinds(self) -> list[Kind]:
        """What is in the journal."""
        return [entry.kind for entry in self.table.entries("shop")]

    async def locked(self, work: Callable[[], Awaitable[object]]) -> None:
        """As a caller that holds the lock."""
        async with self.lock:
            await work()


@pytest.fixture
async def shop() -> Shop:
    """A rollout that has begun, and was read."""
    made = Shop()
    await made.reader.renew()
    made.heard.clear()
    return made


async def test_what_lowers_is_written_before_it_counts(shop: Shop) -> None:
    """Where the journal answers, nothing is done without it, and everybody is notified once."""
    written = await shop.writer.lower(shop.queue(RollBack(actor="bob")))

    assert (written.seq, shop.heard, shop.unwritten.entries) == (2, [Kind.ROLLBACK], [])


async def test_what_cannot_be_written_counts_and_is_written_later(shop: Shop) -> None:
    """Told at once, and not again when it is written."""
    shop.away = True
    with pytest.raises(JournalError, match="disk is full"):
        await shop.writer.lower(shop.queue(RollBack(actor="bob")))
    assert shop.heard == [Kind.ROLLBACK]
    assert [entry.kind for entry in shop.unwritten.entries] == [Kind.ROLLBACK]

    shop.away = False
    await shop.locked(shop.writer.flush)

    assert shop.kinds() == [Kind.STARTED, Kind.ROLLBACK]
    assert (shop.heard, shop.unwritten.entries) == ([Kind.ROLLBACK], [])


async def test_what_waits_is_written_in_the_order_of_deciding(shop: Shop) -> None:
    """A hold, then a rollback; the other way round the hold would be refused."""
    shop.away = True
    for command in (Hold(actor="alertmanager", cause="CanaryBlind"), RollBack(actor="bob")):
        with pytest.raises(JournalError):
            await shop.writer.lower(shop.queue(command))

    shop.away = False
    await shop.locked(shop.writer.flush)

    assert shop.kinds() == [Kind.STARTED, Kind.HELD, Kind.ROLLBACK]


async def test_what_another_receiver_did_meanwhile_is_not_written_again(shop: Shop) -> None:
    """The command is asked again in the state that is there by then."""
    pending = shop.queue(RollBack(actor="bob"))
    shop.table.insert("shop", pending.entry, ROLLOUTS)

    with pytest.raises(RefusedError, match="already rolling back"):
        await shop.writer.lower(pending)

    assert shop.kinds() == [Kind.STARTED, Kind.ROLLBACK]
    assert shop.reader.rollouts["r1"].state is State.ROLLING_BACK


async def test_what_the_journal_refuses_for_what_it_says_keeps_nothing_back(shop: Shop) -> None:
    """It counts for as long as its rollout is the newest, and the next one is written."""
    shop.table.refuses = lambda entry: entry.kind is Kind.HELD
    await shop.writer.lower(shop.queue(Hold(actor="bob")))
    await shop.writer.lower(shop.queue(RollBack(actor="bob")))
    assert [entry.kind for entry in shop.unwritten.entries] == [Kind.HELD]
    assert shop.kinds() == [Kind.STARTED, Kind.ROLLBACK]

    shop.reader.take(started("r2", NOON))

    assert shop.unwritten.entries == []


async def test_what_raises_is_in_the_journal_or_nowhere(shop: Shop) -> None:
    """Nobody hears of what could not be written."""
    shop.away = True
    with pytest.raises(JournalError):
        await shop.locked(lambda: shop.writer.append(ADVANCED))
    assert (shop.heard, shop.unwritten.entries) == ([], [])

    shop.away = False
    await shop.locked(lambda: shop.writer.append(ADVANCED))

    assert (shop.heard, shop.reader.position) == ([Kind.ADVANCED], 2)

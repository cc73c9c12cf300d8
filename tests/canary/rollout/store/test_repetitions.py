"""A request that comes again: answered with what the first one led to, and carried out once."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from canary.errors import JournalError, RefusedError
from canary.rollout.commands.commands import GiveUp, RollBack, Start
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry
from canary.rollout.journal.journal import Journal
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from canary.rollout.store.store import RolloutStore
from tests.support.clock import FakeClock
from tests.support.receiving.journals import ADVANCE, START, Stubborn


async def test_a_repeated_request_gets_its_first_result(store: RolloutStore, engine: AsyncEngine) -> None:
    """The same key again is answered with the same entry, at once or side by side, by this process or the next."""
    seen = Seen.of(store.rollout)
    first, second = await asyncio.gather(*(store.propose(seen, ADVANCE, request="k1") for _ in range(2)))
    assert first == second
    restarted = RolloutStore(Journal(engine, "shop"), FakeClock())
    await restarted.refresh()

    assert await restarted.propose(seen, ADVANCE, request="k1") == first
    assert restarted.answered("k1")
    blind = await store.propose(None, ADVANCE, request="k3")
    assert await store.propose(None, ADVANCE, request="k3") == blind
    rollback = await store.propose(None, RollBack(actor="ann"), request="k2")
    assert await store.propose(None, RollBack(actor="ann"), request="k2") == rollback
    assert [entry.kind for entry in await store.entries()] == [
        Kind.STARTED,
        Kind.ADVANCED,
        Kind.ADVANCED,
        Kind.ROLLBACK,
    ]


async def test_a_key_used_for_another_rollout_keeps_nobody_on_the_canary(store: RolloutStore) -> None:
    """A script whose key is always the same rolls each of its rollouts back; what raises is refused for such a key."""
    first = await store.propose(Seen.of(store.rollout), ADVANCE, request="k")
    await store.propose(None, RollBack(actor="ann"), request="always")
    await store.propose(Seen.of(store.rollout), GiveUp(actor="ann"))
    second = Start(rollout="r2", stable="v1", canary="v3", traffic=(0.05,), durations_seconds=(60,), actor="ann")
    await store.propose(Seen.of(store.rollout), second, request="begin")

    assert await store.propose(Seen("r1"), ADVANCE, request="k") == first
    with pytest.raises(RefusedError, match=f"used before, for entry {first.seq} of rollout r1"):
        await store.propose(Seen.of(store.rollout), ADVANCE, request="k")
    with pytest.raises(RefusedError, match="used before"):
        await store.propose(Seen.of(store.rollout), START, request="begin")
    rollback = await store.propose(None, RollBack(actor="ann"), request="always")

    assert (rollback.rollout, store.rollout and store.rollout.state) == ("r2", State.ROLLING_BACK)
    assert await store.propose(None, RollBack(actor="ann"), request="always") == rollback


async def test_a_lowering_request_sent_again_waits_for_the_first(store: RolloutStore, journal: Stubborn) -> None:
    """Its sender's time-out was shorter than the journal's trouble: all of them get the one entry."""
    journal.answering.clear()
    command = RollBack(actor="ann", reason="bad")
    proposals = [asyncio.ensure_future(store.propose(None, command, request="k")) for _ in range(3)]
    await asyncio.sleep(0.4)
    proposals.append(asyncio.ensure_future(store.propose(None, command, request="k")))
    await asyncio.sleep(0.05)
    assert not any(proposal.done() for proposal in proposals)
    journal.answering.set()

    first, *others = await asyncio.gather(*proposals)
    assert first.seq > 0
    assert others == [first] * 3


async def test_a_request_sent_again_after_trouble_is_written_once(store: RolloutStore, journal: Stubborn) -> None:
    """What was acted upon without the journal gets its entry when the same request comes again."""
    command = RollBack(actor="ann", reason="bad")
    journal.broken = True
    for _ in range(2):
        with pytest.raises(JournalError, match="disk is full"):
            await store.propose(None, command, request="k")
    journal.broken = False

    written = await store.propose(None, command, request="k")

    assert written.seq > 0
    assert [entry.kind for entry in await journal.entries()] == [Kind.STARTED, Kind.ROLLBACK]


async def test_an_entry_whose_receipt_was_lost_is_the_answer(store: RolloutStore, engine: AsyncEngine) -> None:
    """The database wrote it and the connection broke: it is found, not refused as somebody else's."""

    class Forgetful(Journal):
        forgets = True

        async def append(self, entry: Entry, *, after: Entry | int | None = None) -> Entry:
            written = await super().append(entry, after=after)
            if self.forgets:
                self.forgets = False
                raise JournalError("connection lost", place="journal")
            return written

    other = RolloutStore(Forgetful(engine, "shop"), FakeClock())
    await other.refresh()
    with pytest.raises(JournalError, match="connection lost"):
        await other.propose(None, RollBack(actor="ann"), request="k")

    written = await other.propose(None, RollBack(actor="ann"), request="k")

    assert written.seq == 2
    assert not other.unwritten
    assert [entry.kind for entry in await store.entries()] == [Kind.STARTED, Kind.ROLLBACK]

"""Changing a rollout: what was seen is compared while it is written, and what lowers is never lost."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from canary.errors import JournalContentError, JournalError, RefusedError
from canary.rollout.commands.commands import Adopt, GiveUp, Hold, Promote, Resume, RollBack, Start
from canary.rollout.commands.records import CompleteStep, Notify, Record
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Advanced, Entry, RollbackDecided, Unknown
from canary.rollout.journal.journal import Journal
from canary.rollout.kinds import Kind, Step
from canary.rollout.state import State
from canary.rollout.store.store import RolloutStore
from tests.support.clock import FakeClock
from tests.support.receiving.journals import ADVANCE, START, Stubborn

ADOPT = Adopt(
    rollout="r2", stable="v1", canary="v3", traffic=(0.05, 1.0), durations_seconds=(60, 60), weight=0.05, actor="ann"
)


async def test_two_who_saw_the_same_cannot_both_advance(store: RolloutStore) -> None:
    """Of two advances decided from one picture one is carried out; the other is told what happened meanwhile."""
    seen = Seen.of(store.rollout)

    results = await asyncio.gather(*(store.propose(seen, ADVANCE) for _ in range(2)), return_exceptions=True)

    advanced = [result for result in results if isinstance(result, Advanced)]
    refused = [result for result in results if isinstance(result, RefusedError)]
    assert [entry.phase for entry in advanced] == [1]
    assert "in phase 2 (50%) by ann: complete" in str(refused[0])
    assert store.rollout is not None
    assert store.rollout.phase == 1


async def test_two_receivers_do_not_both_advance(store: RolloutStore, engine: AsyncEngine) -> None:
    """What was seen is compared with what another process has written, not only with what this one knows."""
    other = RolloutStore(Journal(engine, "shop"), FakeClock())
    await other.refresh()
    seen = Seen.of(other.rollout)
    await store.propose(seen, ADVANCE)

    with pytest.raises(RefusedError, match="changed since you looked"):
        await other.propose(seen, ADVANCE)


async def test_a_hold_lifted_and_set_anew_is_not_the_same(store: RolloutStore) -> None:
    """State and phase look the same; the number of the decision does not."""
    hold = Hold(actor="alertmanager", cause="CanaryBlind", lifts=True)
    await store.propose(None, hold)
    seen = Seen.of(store.rollout)
    await store.propose(seen, Resume(actor="prometheus"))
    await store.propose(None, hold)

    with pytest.raises(RefusedError, match="changed since you looked"):
        await store.propose(seen, Resume(actor="prometheus"))


async def test_a_promotion_meant_for_one_rollout_never_promotes_another(store: RolloutStore) -> None:
    """A rollout that has begun meanwhile is not touched by a command about the one before."""
    seen = Seen.of(store.rollout)
    await store.propose(seen, Promote(actor="ann"))
    second = Start(rollout="r2", stable="v2", canary="v3", traffic=(0.05,), durations_seconds=(60,), actor="ann")
    await store.propose(Seen.of(store.rollout), second)

    with pytest.raises(RefusedError, match="rollout r1 is not the present one, which is r2"):
        await store.propose(seen, Promote(actor="ann"))
    with pytest.raises(RefusedError, match="rollout r1 is not the present one"):
        await store.propose(Seen("r1"), RollBack(actor="ann"))
    assert store.rollout is not None
    assert store.rollout.state is State.BAKING or store.rollout.weight == 0.05


@pytest.mark.parametrize("lowering", [RollBack(actor="bob"), Hold(actor="bob")])
async def test_lowering_needs_no_fresh_picture(store: RolloutStore, lowering: RollBack | Hold) -> None:
    """Whoever lowers or holds is obeyed, from an old picture, from none, and next to an advance."""
    seen = Seen.of(store.rollout)
    await store.propose(seen, ADVANCE)
    advancing = asyncio.ensure_future(store.propose(Seen.of(store.rollout), ADVANCE))
    await asyncio.sleep(0)
    entry = await store.propose(seen, lowering)
    await advancing

    assert entry.kind in (Kind.ROLLBACK, Kind.HELD)
    assert store.rollout is not None
    assert store.rollout.state in (State.ROLLING_BACK, State.HOLDING)
    assert store.rollout.phase == 2


async def test_a_journal_that_hangs_holds_up_no_rollback(store: RolloutStore, journal: Stubborn) -> None:
    """While the journal does not answer, a rollback counts and listeners hear of it; it is written when it can be."""
    heard: asyncio.Queue[Entry] = asyncio.Queue()
    store.listen(heard.put_nowait)
    journal.answering.clear()
    proposing = asyncio.ensure_future(store.propose(None, RollBack(actor="alertmanager", cause="CanaryX")))
    assert isinstance(await heard.get(), RollbackDecided)

    assert store.rollout is not None
    assert (store.rollout.state, store.rollout.weight, len(store.unwritten)) == (State.ROLLING_BACK, 0, 1)
    assert not proposing.done()

    journal.answering.set()
    written = await proposing
    assert written.seq > 0
    assert heard.empty()
    assert not store.unwritten


async def test_another_rollback_behind_one_that_hangs_is_not_written_twice(
    store: RolloutStore, journal: Stubborn
) -> None:
    """Ten alerts while the journal hangs become one entry."""
    journal.answering.clear()
    proposals = [
        asyncio.ensure_future(store.propose(None, RollBack(actor="alertmanager", cause=f"Canary{number}")))
        for number in range(10)
    ]
    await asyncio.sleep(0.05)
    journal.answering.set()
    results = await asyncio.gather(*proposals, return_exceptions=True)

    assert sum(isinstance(result, Entry) for result in results) == 1
    assert sum(isinstance(result, RefusedError) for result in results) == 9
    assert [entry.kind for entry in await store.entries()].count(Kind.ROLLBACK) == 1


async def test_what_could_not_be_written_is_written_later(store: RolloutStore, journal: Stubborn) -> None:
    """Without the journal a rollback counts; raising is refused; afterwards the rollback is written once."""
    journal.broken = True
    with pytest.raises(JournalError, match="disk is full"):
        await store.propose(None, RollBack(actor="alertmanager", cause="CanaryX"))
    assert store.rollout is not None
    assert store.rollout.state is State.ROLLING_BACK
    with pytest.raises((JournalError, RefusedError)):
        await store.propose(Seen.of(store.rollout), ADVANCE)

    journal.broken = False
    await store.refresh()
    assert [entry.kind for entry in await journal.entries()] == [Kind.STARTED, Kind.ROLLBACK]
    assert not store.unwritten


async def test_what_is_written_while_it_is_read_is_there_once(
    store: RolloutStore, journal: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever tells people of each entry would tell them of this one twice."""
    journal.broken = True
    with pytest.raises(JournalError):
        await store.propose(None, RollBack(actor="alertmanager", cause="CanaryX"))
    journal.broken = False
    read = journal.entries

    async def slowly(rollout: str | None = None, *, after: int = 0) -> Sequence[Entry]:
        monkeypatch.setattr(journal, "entries", read)
        await store.refresh()
        return await read(rollout, after=after)

    monkeypatch.setattr(journal, "entries", slowly)

    assert [entry.kind for entry in await store.entries()] == [Kind.STARTED, Kind.ROLLBACK]


async def test_what_another_receiver_did_first_is_not_done_again(
    store: RolloutStore, journal: Stubborn, engine: AsyncEngine
) -> None:
    """A rollback that waited for the journal is dropped when another receiver has written one meanwhile."""
    journal.broken = True
    with pytest.raises(JournalError):
        await store.propose(None, RollBack(actor="alertmanager", cause="CanaryX"))
    other = RolloutStore(Journal(engine, "shop"), FakeClock())
    await other.refresh()
    await other.propose(None, RollBack(actor="bob", reason="by hand"))
    journal.broken = False

    await store.refresh()

    assert [entry.kind for entry in await journal.entries()] == [Kind.STARTED, Kind.ROLLBACK]
    assert store.rollout is not None
    assert (store.rollout.actor, store.unwritten) == ("bob", [])


async def test_older_rollouts_keep_their_business(store: RolloutStore) -> None:
    """Steps, records and messages of a rollout are written after the next has begun, and change only the old one."""
    rollback = await store.propose(None, RollBack(actor="ann"))
    await store.propose(None, CompleteStep(rollout="r1", step=Step.TRAFFIC, decision=rollback.seq))
    given_up = await store.propose(Seen.of(store.rollout), GiveUp(actor="ann", reason="by hand"))
    second = Start(rollout="r2", stable="v1", canary="v3", traffic=(0.05,), durations_seconds=(60,), actor="ann")
    await store.propose(Seen.of(store.rollout), second)

    await store.propose(None, Notify(rollout="r1", about=given_up.seq, targets=("chat",)))
    await store.propose(None, CompleteStep(rollout="r1", step=Step.LOG, decision=rollback.seq))
    await store.propose(None, Record(rollout="r1", key="x"))
    with pytest.raises(RefusedError, match="has changed meanwhile"):
        await store.propose(None, CompleteStep(rollout="r1", step=Step.PROCESS, decision=rollback.seq))

    old = store.rollouts["r1"]
    assert old.notified == {given_up.seq: {"chat"}}
    assert old.steps == {Step.TRAFFIC, Step.LOG}
    assert store.rollout is not None
    assert (store.rollout.id, store.rollout.steps) == ("r2", frozenset())


async def test_entries_say_by_which_clock(store: RolloutStore) -> None:
    """Each entry carries its writer's boot and monotonic reading, from which the phase's time is counted."""
    (first,) = await store.entries()

    assert (first.boot, first.uptime_seconds) == (store.clock.boot, store.clock.monotonic())
    assert first.at == store.clock.now() == datetime(2026, 3, 3, 12, tzinfo=UTC)


async def test_what_the_journal_refuses_blocks_nothing(store: RolloutStore, journal: Stubborn) -> None:
    """A rollback that is in no form taken is in force, waits for nothing, and the next decision is written."""
    journal.refuses = True
    entry = await store.propose(None, RollBack(actor="bob", reason="\0"))
    journal.refuses = False

    assert entry.seq == 0
    assert store.rollout is not None
    assert store.rollout.state is State.ROLLING_BACK
    assert not store.waiting
    assert [one.kind for one in store.unwritable] == [Kind.ROLLBACK]
    await store.propose(None, Record(rollout="r1", key="later"))
    assert "later" in store.rollout.recorded
    assert store.rollout.weight == 0


async def test_what_raises_and_is_refused_is_not_done(store: RolloutStore, journal: Stubborn) -> None:
    """An advance that the journal refuses is an error of this one command."""
    journal.refuses = True
    with pytest.raises(JournalContentError):
        await store.propose(Seen.of(store.rollout), ADVANCE)
    journal.refuses = False

    await store.propose(Seen.of(store.rollout), ADVANCE)
    assert store.rollout is not None
    assert store.rollout.phase == 1


async def test_whoever_lowers_is_answered_although_the_journal_hangs(
    store: RolloutStore, journal: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They learn that it is acted upon, and it is written all the same when the journal is back."""
    monkeypatch.setattr("canary.rollout.store.writer._ANSWER_SECONDS", 0.01)
    journal.answering.clear()
    with pytest.raises(JournalError) as told:
        await store.propose(None, RollBack(actor="ann"))
    assert str(told.value) == (
        "journal: rollback of rollout r1 is acted upon, and not written yet;"
        " it is written as soon as the journal answers"
    )
    assert store.rollout is not None
    assert store.rollout.state is State.ROLLING_BACK

    journal.answering.set()
    await store.refresh()

    assert [entry.kind for entry in await journal.entries()] == [Kind.STARTED, Kind.ROLLBACK]


async def test_an_adoption_that_cannot_be_written_changes_nothing(store: RolloutStore, journal: Stubborn) -> None:
    """What was lowered without the journal stays so until the journal has what a person says instead."""
    journal.broken = True
    with pytest.raises(JournalError):
        await store.propose(None, RollBack(actor="bob", reason="bad", cause="manual"))

    journal.broken, journal.refuses = False, True
    with pytest.raises(JournalContentError):
        await store.adopt(ADOPT)
    assert (store.rollout and store.rollout.id, store.rollout and store.rollout.weight) == ("r1", 0.0)

    journal.refuses = False
    written = await store.adopt(ADOPT, request="key")
    assert await store.adopt(ADOPT, request="key") == written
    assert (store.rollout and store.rollout.id, store.unwritten) == ("r2", [])


async def test_a_journal_that_is_back_may_lack_what_others_did_without_it(
    store: RolloutStore, journal: Stubborn
) -> None:
    """They write it as soon as their loops look again, which is within some seconds."""
    assert not store.settling
    journal.broken = True
    with pytest.raises(JournalError):
        await store.refresh()
    journal.broken = False
    await store.refresh()
    assert store.settling

    assert isinstance(store.clock, FakeClock)
    store.clock.advance(12)
    assert not store.settling


async def test_what_waits_in_line_behind_an_adoption_is_refused(store: RolloutStore, journal: Stubborn) -> None:
    """It was about what was there before: whoever decided it hears so, and nobody acts upon it."""
    heard = list[Kind]()
    store.listen(lambda entry: heard.append(entry.kind))
    journal.answering.clear()
    adopting = asyncio.ensure_future(store.adopt(ADOPT))
    await asyncio.sleep(0)
    lowering = asyncio.ensure_future(store.propose(None, RollBack(actor="bob")))
    await asyncio.sleep(0.01)
    journal.answering.set()
    await adopting

    with pytest.raises(RefusedError, match="was adopted before rollout r1 was lowered; look again"):
        await lowering
    assert (heard, store.rollout and store.rollout.id) == ([Kind.ADOPTED], "r2")


async def test_rows_that_may_decide_and_are_not_understood_let_nothing_be_raised(
    store: RolloutStore, journal: Stubborn
) -> None:
    """A decision of a newer version may be a hold; it is said, nothing is raised, and lowering works."""
    await store.propose(Seen.of(store.rollout), ADVANCE)
    hold = await store.propose(None, Hold(actor="alertmanager", cause="CanaryBlind"))
    noted = Unknown(rollout="r1", at=hold.at, actor="x", written_kind="noted", fault="key: missing")
    await journal.append(noted)
    await store.refresh()
    assert store.unread == ""
    await journal.append(Unknown(rollout="r1", at=hold.at, actor="x", written_kind="paused"))

    await store.refresh()

    assert "'paused', is not understood (no kind of this version)" in store.unread
    for command in (ADVANCE, Promote(actor="ann"), Resume(actor="prometheus")):
        with pytest.raises(RefusedError) as refused:
            await store.propose(Seen.of(store.rollout), command)
        assert str(refused.value) == (
            f"cannot raise the canary's weight: {store.unread};"
            " let the version that wrote it go on, or `canary rollback --reason TEXT`"
        )
    await store.propose(None, RollBack(actor="ann"))
    await store.propose(Seen.of(store.rollout), GiveUp(actor="ann"))
    await store.propose(Seen.of(store.rollout), replace(START, rollout="r2"))
    assert store.unread == ""

"""The two questions before every effect: whoever leads acts, as long as the journal, read anew, still wants it."""

import asyncio

import pytest

from canary.errors import JournalError, RefusedError
from canary.notify import Message
from canary.rollout.journal.journal import JOURNAL
from canary.rollout.kinds import Step
from canary.rollout.state import State
from canary.routers import Split
from tests.support.receiving.acting import Acting, World

MESSAGE = Message("rolled back", "payments failed")


class Action:
    """Something to be done, and whether it was."""

    def __init__(self) -> None:
        self.done = 0

    async def __call__(self) -> int:
        """Do it."""
        self.done += 1
        return self.done


async def test_the_leader_acts_and_gives_the_result(leader: Acting) -> None:
    """Leading, and with the rollout as it should be, the action is done once and its result given."""
    action = Action()

    assert await leader.permission.run(leader.rollout.id, Step.LOG, action) == 1
    assert action.done == 1


async def test_nothing_is_done_about_a_journal_that_is_another_one(leader: Acting, world: World) -> None:
    """What is known of it was decided elsewhere: the journal that is there now may say the contrary."""
    async with world.engine.begin() as connection:
        await connection.execute(JOURNAL.delete())
    action = Action()

    with pytest.raises(JournalError, match="older than what was read from it before"):
        await leader.permission.run(leader.rollout.id, Step.LOG, action)
    assert action.done == 0


async def test_a_receiver_that_does_not_lead_does_nothing(leader: Acting, world: World) -> None:
    """It says who acts instead, and does not even read the journal for it."""
    follower = world.receiver(leading=False)
    follower.journal.broken = True
    action = Action()

    with pytest.raises(RefusedError, match="does not lead; the one that leads does it"):
        await follower.permission.run(leader.rollout.id, Step.LOG, action)
    assert action.done == 0


async def test_a_lead_lost_while_the_journal_is_read_counts(leader: Acting) -> None:
    """The lead is asked for again after the journal, which may have been slow."""
    action = Action()
    questions = 0

    def lose() -> None:
        nonlocal questions
        questions += 1
        leader.lead.leading = questions < 2

    leader.lead.asked = lose
    with pytest.raises(RefusedError, match="does not lead"):
        await leader.permission.run(leader.rollout.id, Step.LOG, action)
    assert action.done == 0


async def test_what_another_receiver_has_written_counts(leader: Acting, world: World) -> None:
    """The journal is read anew: a decision that this receiver has not heard of yet stops the action."""
    other = world.receiver()
    await other.store.refresh()
    await other.roll_back()
    action = Action()
    assert leader.rollout.state is State.PHASE

    with pytest.raises(RefusedError, match="has moved on"):
        await leader.permission.run(leader.rollout.id, Step.LOG, action, still=lambda now: now.state is State.PHASE)
    assert action.done == 0


async def test_what_is_decided_while_the_lead_is_asked_for_counts(leader: Acting) -> None:
    """The rollout is compared after the last wait, not before it."""
    action = Action()
    moved_on: set[str] = set()
    leader.lead.asked = lambda: moved_on.add("yes")

    with pytest.raises(RefusedError, match="has moved on"):
        await leader.permission.run(leader.rollout.id, Step.LOG, action, still=lambda _: not moved_on)
    assert action.done == 0


async def test_nothing_happens_between_the_answers_and_the_action(leader: Acting) -> None:
    """No other task of the event loop runs between the last question and the beginning of the action."""
    others_ran: list[bool] = []
    loop = asyncio.get_running_loop()

    def compare(_: object) -> bool:
        loop.call_soon(others_ran.append, True)
        return True

    async def action() -> list[bool]:
        return list(others_ran)

    assert await leader.permission.run(leader.rollout.id, Step.LOG, action, still=compare) == []
    await asyncio.sleep(0)
    assert others_ran == [True]


async def test_without_the_journal_nothing_is_done(leader: Acting) -> None:
    """A leader that cannot read the journal does not know what is wanted."""
    leader.journal.broken = True
    action = Action()

    with pytest.raises(JournalError):
        await leader.permission.run(leader.rollout.id, Step.LOG, action)
    with pytest.raises(JournalError):
        await leader.effects.set_weight("edge", Split(leader.rollout.id, 0.5), still=lambda: True)
    assert action.done == 0


async def test_a_rollout_that_nobody_knows_is_not_acted_for(leader: Acting) -> None:
    """An id that the journal does not have is refused."""
    with pytest.raises(RefusedError, match="has moved on"):
        await leader.permission.run("other", Step.LOG, Action())


async def test_refusals_say_what_was_not_done_and_who_does_it(leader: Acting, world: World) -> None:
    """Which step of which rollout; and where to look, where that helps."""
    place = f"step log of rollout {leader.rollout.id}"
    with pytest.raises(RefusedError) as moved:
        await leader.permission.run(leader.rollout.id, Step.LOG, Action(), still=lambda _: False)
    assert str(moved.value) == f"{place}: the rollout has moved on"

    leader.lead.leading = False
    with pytest.raises(RefusedError) as standby:
        await leader.permission.run(leader.rollout.id, Step.LOG, Action())
    leads = "the one that leads does it, see `leading` in `canary status`"
    assert str(standby.value) == f"{place}: this receiver does not lead; {leads}"

    questions = iter([True, False])
    leader.lead.asked = lambda: setattr(leader.lead, "leading", next(questions))
    with pytest.raises(RefusedError) as lost:
        await leader.permission.run(leader.rollout.id, Step.LOG, Action())
    assert str(lost.value) == str(standby.value)

    leader.lead.asked, leader.lead.leading = lambda: None, True
    async with world.engine.begin() as connection:
        await connection.execute(JOURNAL.delete())
    with pytest.raises(JournalError) as another:
        await leader.permission.run(leader.rollout.id, Step.LOG, Action())
    assert str(another.value).startswith(f"{place}: ")
    assert str(another.value).endswith("; see `canary status`; `canary adopt` ends this")


async def test_whoever_has_little_time_waits_for_the_journal_no_longer(leader: Acting) -> None:
    """How long is the caller's to say; who says nothing waits."""
    waited: list[float | None] = []

    async def refresh(*, within_seconds: float | None = None) -> None:
        waited.append(within_seconds)

    leader.store.refresh = refresh  # type: ignore[method-assign]
    await leader.permission.ask("effect", lambda: None, within_seconds=0.5)
    await leader.permission.run(leader.rollout.id, Step.LOG, Action())
    assert waited == [0.5, None]


async def test_whether_it_leads_is_told_as_it_was_last_known(leader: Acting) -> None:
    """For pages, without a question; whoever looks for the leader alone asks."""
    asked: list[str] = []
    leader.lead.asked = lambda: asked.append("")
    assert leader.permission.leading
    leader.lead.leading = False
    assert not leader.permission.leading
    assert asked == []
    assert not await leader.permission.leads()
    assert asked == [""]

"""A start at a moment: journalled, given when it is due, once, and never much later."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.decide.scheduler import Scheduler
from canary.errors import JournalError, RefusedError, RouterError
from canary.rollout.commands.scheduling import ScheduleEnded
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry
from canary.rollout.plan.plans import Plans
from tests.alertmanager.receiver.decide.test_commands import People
from tests.support.receiving.acting import World

HOUR = timedelta(hours=1)


class Night:
    """One receiver on which a start is scheduled."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.people = People(world)
        self.store = self.people.acting.store
        self.scheduler = self.another()
        self.faults: list[Exception] = []

    def another(self) -> Scheduler:
        """A scheduler on the same journal, as after a restart."""
        return Scheduler(Plans(self.world.policy), self.store, self.people.acting.lead, self.world.clock, self.submit)

    async def submit(self, request: Request) -> Entry:
        """Carry it out, unless something is in the way."""
        if self.faults:
            raise self.faults.pop()
        return await self.people.commands.submit(request)

    async def schedule(self, after: timedelta = HOUR, *, plan: str = "normal", canary: str = "v2.0") -> Entry:
        """Schedule a start."""
        request = Request(Verb.START, "ann", "quiet hours", canary=canary, stable="v1.0", plan=plan)
        return await self.scheduler.schedule(request, self.world.clock.now() + after)

    async def after(self, time: timedelta) -> None:
        """Let time pass, and the scheduler look."""
        self.world.clock.advance(time.total_seconds())
        await self.scheduler.step()

    async def endings(self) -> list[str]:
        """What became of everything that was scheduled."""
        return [entry.ending for entry in await self.store.entries() if isinstance(entry, ScheduleEnded)]


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    """A receiver with an empty journal."""
    async with World.around(tmp_path) as world:
        yield Night(world)


async def test_it_begins_when_it_is_due(night: Night) -> None:
    """Not before; once; in the name of who scheduled it."""
    await night.schedule()
    await night.after(HOUR - timedelta(seconds=1))
    assert night.store.rollout is None
    await night.after(timedelta(seconds=1))
    await night.after(HOUR)

    assert night.store.rollout is not None
    assert (night.store.rollout.canary, night.store.rollout.actor) == ("v2.0", "ann")
    assert await night.endings() == ["started"]
    assert night.scheduler.pending is None


async def test_it_survives_a_restart_and_a_lost_note(night: Night) -> None:
    """The journal knows it; one that began and could not say so any more is not begun a second time."""
    entry = await night.schedule()
    request = Request(Verb.START, "ann", canary="v2.0", stable="v1.0", seen=Seen.of(None), key=f"schedule-{entry.seq}")
    began = await night.people.commands.submit(request)
    restarted = night.another()
    restarted._heard(entry)
    night.world.clock.advance(HOUR.total_seconds())
    await restarted.step()

    assert night.store.rollout is not None
    assert night.store.rollout.id == began.rollout
    assert await night.endings() == ["started"]
    assert restarted.pending is None


async def test_a_refusal_is_kept_and_not_tried_again(night: Night) -> None:
    """What is in the way when it is due is shown; the fault that goes away later starts nothing at night."""
    await night.people.start(canary="v1.5")
    await night.schedule()
    await night.after(HOUR)
    await night.after(HOUR)

    assert await night.endings() == ["refused"]
    assert "v2.0 against v1.0" in night.scheduler.refused
    assert "cannot start another rollout" in night.scheduler.refused
    rollout = night.store.rollout
    assert rollout is not None
    assert rollout.canary == "v1.5"
    assert any(key.startswith("schedule:v2.0") for key in rollout.recorded)


async def test_a_refusal_is_shown_until_a_rollout_begins(night: Night) -> None:
    """Also after a restart, which reads the same entries: what is over and done is no news under a later rollout."""
    await night.schedule()
    await night.after(3 * HOUR)
    assert night.scheduler.refused

    await night.people.start(canary="v1.5")
    restarted = night.another()
    for entry in await night.store.entries():
        restarted._heard(entry)

    assert night.scheduler.refused == restarted.refused == ""


async def test_a_journal_that_is_away_is_tried_again(night: Night) -> None:
    """Nothing has been decided then."""
    await night.schedule()
    night.faults.append(JournalError("is away"))
    await night.after(HOUR)
    assert night.scheduler.pending is not None
    await night.after(timedelta(seconds=1))

    assert await night.endings() == ["started"]


async def test_what_was_in_the_way_all_along_is_what_is_told(night: Night) -> None:
    """A router that stays away past the last moment is the reason, and is shown meanwhile; not that nobody ran."""
    await night.schedule()
    night.faults.extend([RouterError("is away", place="router edge1")] * 2)
    await night.after(HOUR)
    assert night.scheduler.fault == "router edge1: is away"
    night.people.acting.lead.leading = False
    await night.after(timedelta())
    assert night.scheduler.fault == ""
    night.people.acting.lead.leading = True
    await night.after(HOUR / 4)
    await night.after(HOUR)

    assert await night.endings() == ["refused"]
    assert "router edge1: is away" in night.scheduler.refused
    assert night.scheduler.fault == ""


async def test_nobody_ran_in_time(night: Night) -> None:
    """A start that is hours late would begin while nobody looks: it is given up, and said."""
    await night.schedule()
    await night.after(3 * HOUR)

    assert night.store.rollout is None
    assert await night.endings() == ["refused"]
    assert "no receiver ran when it was due" in night.scheduler.refused


async def test_it_can_be_taken_back(night: Night) -> None:
    """Then nothing begins, and another may be scheduled."""
    await night.schedule()
    with pytest.raises(RefusedError, match="is scheduled already"):
        await night.schedule(canary="v3.0")
    await night.scheduler.cancel(actor="bob", reason="not tonight")
    await night.after(2 * HOUR)

    assert night.store.rollout is None
    assert await night.endings() == ["cancelled"]
    with pytest.raises(RefusedError, match="nothing is scheduled"):
        await night.scheduler.cancel(actor="bob", reason="twice")
    await night.schedule(canary="v3.0")


async def test_what_can_be_known_now_is_refused_now(night: Night) -> None:
    """A plan that is not there, a moment that is over."""
    with pytest.raises(RefusedError, match="no plan 'hotfix'"):
        await night.schedule(plan="hotfix")
    with pytest.raises(RefusedError, match="is over or more than a year away"):
        await night.schedule(-HOUR)

"""How long a phase has lasted: exact on one machine, never too long on another, whatever is done to the wall clock."""

import asyncio
from datetime import timedelta

from alertmanager.receiver.decide.promotion.phasetimer import PhaseTimer
from alertmanager.receiver.lead.leader import FileLeader
from canary.policy.model import Policy
from canary.rollout.entries import Elapsed
from tests.support.clock import FakeClock
from tests.support.receiving.deciding import AwayJournal, Deciding

POLICY = Policy(service="shop")


async def marks(deciding: Deciding) -> list[tuple[str, int, float]]:
    """What has been marked: which rollout, phase and seconds."""
    found = [entry for entry in await deciding.entries() if isinstance(entry, Elapsed)]
    return [(mark.rollout, mark.phase, mark.seconds) for mark in found]


class OtherBoot(FakeClock):
    """The clock of another machine, or of this one after a reboot: it counts from elsewhere."""

    @property
    def boot(self) -> str:
        """Another boot."""
        return "other"

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment, another one."""
        return super().monotonic() + 1e6


async def test_the_wall_clock_does_not_matter() -> None:
    """However the wall clock is set, the phase has lasted as long as it has."""
    async with Deciding.about(POLICY) as deciding:
        deciding.clock.advance(10)
        deciding.clock._now += timedelta(hours=5)
        assert deciding.timer.seconds(deciding.rollout) == 10
        deciding.clock._now -= timedelta(days=2)
        assert deciding.timer.seconds(deciding.rollout) == 10


async def test_a_restart_on_the_same_machine_loses_nothing() -> None:
    """The time in which no receiver ran counts as well."""
    async with Deciding.about(POLICY) as deciding:
        deciding.clock.advance(123)
        restarted = PhaseTimer(deciding.store, FileLeader(None, deciding.clock), deciding.clock)

        assert restarted.seconds(deciding.rollout) == 123


async def test_another_machine_goes_on_from_the_last_mark() -> None:
    """What nobody has measured does not count: the phase becomes longer, never shorter."""
    async with Deciding.about(POLICY) as deciding:
        deciding.clock.advance(60)
        await deciding.timer.mark()
        deciding.clock.advance(30)
        other = OtherBoot()
        taken_over = PhaseTimer(deciding.store, FileLeader(None, other), other)
        assert taken_over.seconds(deciding.rollout) == 60

        other.advance(7)
        assert taken_over.seconds(deciding.rollout) == 67


async def test_each_phase_begins_at_zero() -> None:
    """An advance begins the count anew; a hold does not stop it."""
    async with Deciding.about(POLICY) as deciding:
        deciding.clock.advance(50)
        await deciding.order("hold")
        deciding.clock.advance(50)
        assert deciding.timer.seconds(deciding.rollout) == 100

        await deciding.order("resume")
        await deciding.order("advance")
        deciding.clock.advance(5)
        assert deciding.timer.seconds(deciding.rollout) == 5


async def test_a_standby_that_has_watched_from_the_beginning_counts_no_time_twice() -> None:
    """What the other machine has marked replaces what this one has seen pass; the two are not added up."""
    async with Deciding.about(POLICY) as deciding:
        other = OtherBoot()
        standby = PhaseTimer(deciding.store, FileLeader(None, other), other)
        assert standby.seconds(deciding.rollout) == 0

        for clock in (deciding.clock, other):
            clock.advance(60)
        await deciding.timer.mark()
        assert standby.seconds(deciding.rollout) == 60
        other.advance(5)
        assert standby.seconds(deciding.rollout) == 65


async def test_a_mark_is_written_each_minute_until_the_rollout_ends() -> None:
    """So much at most is added to a phase when another machine takes over; afterwards there is nothing to measure."""
    async with Deciding.about(POLICY) as deciding:
        running = asyncio.ensure_future(deciding.timer.run())
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()
        await deciding.order("rollback")
        written = await marks(deciding)
        deciding.clock.advance(60)
        await deciding.timer.mark()

        assert written[:3] == [(deciding.rollout.id, 0, seconds) for seconds in (60, 120, 180)]
        assert await marks(deciding) == written


async def test_a_mark_is_of_the_phase_that_runs_to_the_millisecond() -> None:
    """The journal is read by people too: the time of this phase, and no digits that nobody has measured."""
    async with Deciding.about(POLICY) as deciding:
        await deciding.order("advance")
        deciding.clock.advance(1.23456)
        await deciding.timer.mark()

        assert await marks(deciding) == [(deciding.rollout.id, 1, 1.235)]


async def test_who_does_not_lead_or_has_nothing_to_measure_marks_nothing() -> None:
    """A standby would write what the leader writes; before the first rollout there is no phase."""
    idle = Deciding(POLICY, AwayJournal())
    await idle.timer.mark()
    assert await idle.entries() == []

    async with Deciding.about(POLICY) as deciding:
        deciding.leader.leading = False
        await deciding.timer.mark()
        assert await marks(deciding) == []


async def test_a_journal_that_is_away_costs_a_mark_and_nothing_else() -> None:
    """The next mark says all the time that has passed."""
    async with Deciding.about(POLICY) as deciding:
        deciding.clock.advance(60)
        deciding.journal.broken = True
        await deciding.timer.mark()
        deciding.journal.broken = False
        deciding.clock.advance(60)
        await deciding.timer.mark()

        assert await marks(deciding) == [(deciding.rollout.id, 0, 120)]


async def test_what_another_machine_has_seen_of_one_phase_does_not_count_for_the_next() -> None:
    """A phase that begins there while this one watches is counted from its beginning, also of the next rollout."""
    async with Deciding.about(POLICY) as deciding:
        other = OtherBoot()
        standby = PhaseTimer(deciding.store, FileLeader(None, other), other)
        assert standby.seconds(deciding.rollout) == 0
        other.advance(50)
        await deciding.order("advance")
        assert standby.seconds(deciding.rollout) == 0
        other.advance(5)
        assert standby.seconds(deciding.rollout) == 5

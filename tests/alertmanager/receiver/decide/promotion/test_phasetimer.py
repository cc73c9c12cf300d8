"""How long a phase has lasted: exact on one machine, never too long on another, whatever is done to the wall clock."""

from datetime import timedelta

from alertmanager.receiver.decide.promotion.phasetimer import PhaseTimer
from alertmanager.receiver.lead.leader import FileLeader
from canary.policy.model import Policy
from tests.support.clock import FakeClock
from tests.support.receiving.deciding import Deciding

POLICY = Policy(service="shop")


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

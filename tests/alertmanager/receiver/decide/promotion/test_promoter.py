"""Raising the share: every key is needed, and each one's absence is enough to wait."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from alertmanager.receiver.decide.alerts.admission import Outcome
from alertmanager.receiver.decide.promotion.waiting import (
    Reason,
    Waiting,
    closed,
    frozen,
    held,
    person,
    phase_time,
    undelivered,
)
from canary import names
from canary.errors import RefusedError
from canary.policy.gates import ApprovalGate, Gate, UrlGate
from canary.policy.model import Policy
from canary.policy.release import Phase, Receiver, Watchdog
from canary.rollout.commands.commands import GiveUp
from canary.rollout.entries import Recorded
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from tests.support.clock import StandingClock, settled
from tests.support.receiving.deciding import AwayJournal, Deciding

PHASES = (Phase(traffic=0.05, duration=300), Phase(traffic=0.5, duration=300), Phase(traffic=1, duration=300))
# The heartbeat is not what these tests are about.
CALM = Receiver(watchdog=Watchdog(timeout=1e9))
PLAIN = Policy(service="shop", phases=PHASES, receiver=CALM)
# Where a key is good for longer than a phase lasts, its age is not what keeps it from opening the next one.
LASTING = Policy(service="shop", phases=PHASES, receiver=Receiver(watchdog=CALM.watchdog, repeat=3600))


async def test_all_keys_together_advance() -> None:
    """Alertmanager's key, Prometheus' key and the phase's time: the next phase begins."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        assert await deciding.key() is Outcome.ACCEPTED
        await deciding.promoter.step()

        assert (deciding.rollout.phase, deciding.rollout.weight) == (1, 0.5)
        assert deciding.rollout.actor == "alertmanager"


async def test_the_receivers_own_clock_is_a_key() -> None:
    """However early Alertmanager and Prometheus agree, the phase lasts its time by the receiver's clock."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.passes(250)
        await deciding.key()
        await deciding.passes(49)
        assert deciding.rollout.phase == 0

        await deciding.passes(1)
        assert deciding.rollout.phase == 1


async def test_setting_the_wall_clock_does_not_shorten_a_phase() -> None:
    """Whoever sets the machine's clock forward does not end a phase that the receiver has seen begin."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.passes(1)
        deciding.clock._now += (deciding.clock.now() - deciding.rollout.started_at) * 1000
        await deciding.key()
        await deciding.passes(1)

        assert deciding.rollout.phase == 0


async def test_prometheus_is_a_key() -> None:
    """While Prometheus objects, or is unreachable, nothing is raised; as soon as it agrees, it is."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        deciding.complaint = "CanaryHighErrorRate fires for rollout r1"
        await deciding.key()
        await deciding.promoter.step()
        assert deciding.rollout.phase == 0
        assert deciding.promoter.waiting == Waiting(Reason.PROMETHEUS, deciding.complaint)

        deciding.complaint = ""
        await deciding.passes(10)
        assert deciding.rollout.phase == 1


async def test_alertmanagers_key_grows_old() -> None:
    """A key that Alertmanager has not turned again, because it is silenced say, opens nothing later."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.complaint = "away"
        await deciding.key()
        deciding.clock.advance(300)
        deciding.complaint = ""
        await deciding.promoter.step()

        assert deciding.rollout.phase == 0
        assert deciding.promoter.waiting == undelivered(None, "")


@pytest.mark.parametrize(
    ("labels", "truncated", "outcome"),
    [
        ({"phase": "1"}, 0, Outcome.OTHER_PHASE),
        ({}, 0, Outcome.INFORMED),
        ({"phase": "0"}, 3, Outcome.TRUNCATED),
    ],
)
async def test_what_is_no_key(labels: dict[str, str], truncated: int, outcome: Outcome) -> None:
    """Another phase's alert, one that names no phase, and a notification with alerts cut off open nothing."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        found = await deciding.hear(names.PHASE_COMPLETE, "advance", truncated, **labels)
        await deciding.promoter.step()

        assert (found, deciding.rollout.phase) == (outcome, 0)


async def test_a_key_opens_one_phase() -> None:
    """The key of one phase does not open the next one as well."""
    async with Deciding.about(LASTING) as deciding:
        deciding.clock.advance(300)
        await deciding.key()
        await deciding.promoter.step()
        await deciding.passes(300)

        assert deciding.rollout.phase == 1


async def test_held_or_rolled_back_nothing_advances() -> None:
    """A hold stops an advance for which every key fits; so does a rollback."""
    for action, state in (("hold", State.HOLDING), ("rollback", State.ROLLING_BACK)):
        async with Deciding.about(PLAIN) as deciding:
            deciding.clock.advance(300)
            await deciding.key()
            await deciding.hear("CanaryX", action)
            await deciding.promoter.step()

            assert deciding.state() is state
            assert Kind.ADVANCED not in await deciding.kinds()


async def test_a_manual_gate_waits_for_a_person() -> None:
    """With every key turned, a phase with `gate: manual` waits, tells people once, and goes on by their order."""
    gated = (Phase(traffic=0.05, duration=300, gate="manual"), *PHASES[1:])
    async with Deciding.about(Policy(service="shop", phases=gated, receiver=CALM)) as deciding:
        deciding.clock.advance(300)
        for _ in range(3):
            await deciding.key()
            await deciding.promoter.step()
        assert deciding.rollout.phase == 0
        assert (await deciding.kinds()).count(Kind.RECORDED) == 1

        await deciding.order("advance")
        assert (deciding.rollout.phase, deciding.rollout.actor) == (1, "ann")


async def test_the_users_own_gate_is_asked_until_it_opens() -> None:
    """While the user's check objects nothing is raised; when it agrees, the next phase begins."""
    gated = (Phase(traffic=0.05, duration=300, gate=UrlGate(url="http://gate", interval=30)), *PHASES[1:])
    async with Deciding.about(Policy(service="shop", phases=gated, receiver=CALM)) as deciding:
        deciding.clock.advance(300)
        deciding.gate = "the gate answered 503"
        await deciding.key()
        assert await deciding.promoter.step() == 30
        assert (deciding.rollout.phase, deciding.promoter.waiting) == (0, closed(deciding.gate))

        deciding.gate = ""
        await deciding.passes(30)
        assert deciding.rollout.phase == 1


async def test_a_person_needs_prometheus_too_unless_forced() -> None:
    """A person's advance or promotion is refused while Prometheus objects; `force` is written down as their act."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.complaint = "CanaryHighErrorRate fires"
        for verb in ("advance", "promote"):
            with pytest.raises(RefusedError, match="CanaryHighErrorRate fires; to do it all the same, add --force"):
                await deciding.order(verb)

        await deciding.order("advance", force=True)
        assert deciding.rollout.phase == 1


def gated(gate: Gate) -> Policy:
    """The plain policy with this gate at the end of its first phase."""
    return Policy(service="shop", phases=(Phase(traffic=0.05, duration=300, gate=gate), *PHASES[1:]), receiver=CALM)


async def test_what_alertmanager_said_before_a_hold_does_not_count_after_it() -> None:
    """Its alert ends with the hold, and comes anew; until then it may be silenced, or not firing any more."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        await deciding.key()
        await deciding.order("hold")
        await deciding.order("resume")

        await deciding.promoter.step()
        assert deciding.rollout.phase == 0

        await deciding.key()
        await deciding.promoter.step()
        assert deciding.rollout.phase == 1


async def test_how_soon_it_is_tried_again() -> None:
    """As soon as the phase's time is over, else as often as Prometheus is asked; where a decision must come, rarely."""
    poll = CALM.poll
    assert await Deciding(PLAIN, AwayJournal()).promoter.step() == 60
    async with Deciding.about(PLAIN) as deciding:
        assert await deciding.promoter.step() == 60
        deciding.clock.advance(250)
        assert await deciding.promoter.step() == 50
        deciding.clock.advance(50)
        assert await deciding.promoter.step() == poll
        deciding.complaint = "away"
        assert await deciding.promoter.step() == poll
        deciding.complaint = ""
        await deciding.freezes.begin(deciding.clock.now() + timedelta(seconds=10), actor="ann", reason="sale")
        assert await deciding.promoter.step() == poll
        deciding.clock.advance(10)
        await deciding.key()
        deciding.leader.leading = False
        assert await deciding.promoter.step() == poll
        deciding.leader.leading = True
        assert await deciding.promoter.step() == 60
        assert deciding.rollout.phase == 1
        await deciding.order("hold")
        assert await deciding.promoter.step() == 60
    async with Deciding.about(gated("manual")) as deciding:
        deciding.clock.advance(300)
        assert await deciding.promoter.step() == poll


async def test_what_people_read_is_what_the_rollout_waits_for() -> None:
    """The phase's time and when it is over, a freeze, a hold; nothing where no rollout goes on, or began."""
    nothing = Deciding(PLAIN, AwayJournal())
    assert nothing.promoter.waiting is None
    await nothing.promoter.step()
    assert nothing.promoter.waiting is None
    async with Deciding.about(PLAIN) as deciding:
        await deciding.passes(100)
        assert deciding.promoter.waiting == phase_time(deciding.clock.now() + timedelta(seconds=200))
        await deciding.freezes.begin(deciding.clock.now() + timedelta(hours=1), actor="ann", reason="sale")
        await deciding.passes(200)
        assert deciding.promoter.waiting == frozen(deciding.freezes.active)
        await deciding.order("hold")
        await deciding.promoter.step()
        assert deciding.promoter.waiting == held(deciding.rollout)
        await deciding.order("rollback")
        await deciding.promoter.step()
        assert deciding.promoter.waiting is None


async def test_who_stands_by_raises_nothing_and_tells_nobody() -> None:
    """Another receiver does, by the same keys; what people read here is what is waited for all the same."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.leader.leading = False
        deciding.clock.advance(300)
        await deciding.key()
        await deciding.promoter.step()
        assert deciding.rollout.phase == 0
    async with Deciding.about(gated("manual")) as deciding:
        deciding.leader.leading = False
        await deciding.passes(300)
        assert deciding.promoter.waiting == person(deciding.rollout)
        assert Kind.RECORDED not in await deciding.kinds()


async def test_an_advance_says_what_was_complete() -> None:
    """Whoever reads the journal finds the phase as people count it, and what let it end."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.order("advance")
        deciding.clock.advance(300)
        await deciding.key()
        await deciding.promoter.step()
        assert (deciding.rollout.phase, deciding.rollout.actor) == (2, "alertmanager")
        assert (await deciding.entries())[-1].reason == f"{names.PHASE_COMPLETE}: phase 2 is complete"


@pytest.mark.parametrize(("late", "phase"), [(0, 1), (0.5, 0)])
async def test_alertmanagers_key_fits_until_the_next_one_must_have_come(late: float, phase: int) -> None:
    """As long as between two repetitions, and a little for their ticks."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        await deciding.key()
        deciding.clock.advance(CALM.repeat + 15 + late)
        await deciding.promoter.step()
        assert deciding.rollout.phase == phase


async def test_a_key_of_an_earlier_rollout_opens_nothing() -> None:
    """A phase has the same number in each; the rollout is what the key is about."""
    async with Deciding.about(LASTING) as deciding:
        await deciding.key()
        await deciding.order("rollback")
        await deciding.store.propose(None, GiveUp(actor="ann"))
        deciding.clock.advance(1)
        await deciding.order("start", canary="v3.0", stable="v1.0")
        deciding.complaint = "away"
        await deciding.passes(300)
        deciding.complaint = ""
        await deciding.promoter.step()
        assert deciding.rollout.phase == 0


class Interrupted(Deciding):
    """In which something happens between Prometheus' answer and what is written."""

    def interrupt(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Do this when the journal is read for the last time."""
        refresh = self.store.refresh

        async def late(*, within_seconds: float | None = None) -> None:
            await meanwhile()
            await refresh(within_seconds=within_seconds)

        self.store.refresh = late  # type: ignore[method-assign]


@pytest.mark.parametrize(("seconds", "phase"), [(5, 1), (5.5, 0)])
async def test_an_answer_that_has_grown_old_raises_nothing(seconds: float, phase: int) -> None:
    """A receiver that was paused between the answer and the writing asks again."""
    async with Interrupted.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        await deciding.key()

        async def pause() -> None:
            deciding.clock.advance(seconds)

        deciding.interrupt(pause)
        assert await deciding.promoter.step() == (60 if phase else CALM.poll)
        assert deciding.rollout.phase == phase


async def test_a_decision_that_comes_before_the_advance_is_written_keeps_it_away() -> None:
    """What was looked at has changed: a hold that ended meanwhile was a hold."""
    async with Interrupted.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        await deciding.key()

        async def hold_and_resume() -> None:
            await deciding.order("hold")
            await deciding.order("resume")

        deciding.interrupt(hold_and_resume)
        await deciding.promoter.step()
        assert deciding.rollout.phase == 0


class SlowGate(Deciding):
    """The user's own check opens, and takes its time."""

    meanwhile: str = ""

    async def _closed(self, gate: UrlGate) -> str:
        self.clock.advance(30)
        self.complaint = self.meanwhile
        return await super()._closed(gate)


@pytest.mark.parametrize(("meanwhile", "phase"), [("", 1), ("CanaryX fires", 0)])
async def test_after_the_users_own_gate_prometheus_is_asked_again(meanwhile: str, phase: int) -> None:
    """What it said before the gate was asked is old by then."""
    async with SlowGate.about(gated(UrlGate(url="http://gate", interval=30))) as deciding:
        deciding.meanwhile = meanwhile
        deciding.clock.advance(300)
        await deciding.key()
        assert await deciding.promoter.step() == (60 if phase else CALM.poll)
        assert deciding.rollout.phase == phase
        if meanwhile:
            assert deciding.promoter.waiting == Waiting(Reason.PROMETHEUS, meanwhile)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ("manual", "phase 1 is complete; a person decides"),
        (ApprovalGate(approvers=2), "phase 1 is complete; 2 people decide, 0 of 2 approvals"),
    ],
)
async def test_people_are_told_once_what_waits_for_them(gate: Gate, reason: str) -> None:
    """Which phase, and how many of them, whatever the next one needs; what the rollout waits for says the same."""
    crowd = Phase(traffic=0.5, duration=300, gate=ApprovalGate(approvers=3))
    phases = (Phase(traffic=0.05, duration=300, gate=gate), crowd, PHASES[-1])
    async with Deciding.about(Policy(service="shop", phases=phases, receiver=CALM)) as deciding:
        for _ in range(3):
            await deciding.passes(300)
        told = [entry for entry in await deciding.entries() if isinstance(entry, Recorded)]
        assert [(one.key, one.occasion, one.reason) for one in told] == [("gate:0", "gate", reason)]
        assert deciding.promoter.waiting == person(deciding.rollout)


async def test_what_is_complete_is_nobodys_business_while_it_is_held_or_has_no_gate() -> None:
    """A person decides only where the policy says so, and not about what does not go on."""
    async with Deciding.about(gated("manual")) as deciding:
        await deciding.order("hold")
        await deciding.promoter.complete(deciding.rollout)
        assert Kind.RECORDED not in await deciding.kinds()
    async with Deciding.about(PLAIN) as deciding:
        await deciding.promoter.complete(deciding.rollout)
        assert Kind.RECORDED not in await deciding.kinds()


async def test_a_journal_that_is_away_raises_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The same key fits as soon as the journal is back."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        await deciding.key()
        deciding.journal.broken = True
        assert await deciding.promoter.step() == CALM.poll
        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert (record.name, record.getMessage()) == ("canary.advance", "cannot advance")
        assert "no space left" in str(vars(record)["canary_fields"]["error"])

        deciding.journal.broken = False
        await deciding.promoter.step()
        assert deciding.rollout.phase == 1


async def test_people_who_cannot_be_told_are_told_later() -> None:
    """Without a journal the record is not made; what is waited for is right all the same."""
    async with Deciding.about(gated("manual")) as deciding:
        deciding.clock.advance(300)
        deciding.journal.broken = True
        await deciding.promoter.step()
        assert deciding.promoter.waiting == person(deciding.rollout)
        deciding.journal.broken = False
        await deciding.promoter.step()
        assert "gate:0" in deciding.rollout.recorded


async def test_a_key_wakes_it_and_so_does_a_decision() -> None:
    """An advance does not wait for the next look when everything else fits already."""
    async with Deciding.about(PLAIN) as deciding:
        deciding.clock.advance(300)
        advanced_at: list[float] = []
        deciding.store.listen(lambda _: advanced_at.append(deciding.clock.monotonic()))
        running = asyncio.ensure_future(deciding.promoter.run())
        began = deciding.clock.monotonic()
        await deciding.key()
        for _ in range(50):
            await asyncio.sleep(0)
        running.cancel()
        assert (deciding.rollout.phase, advanced_at[0]) == (1, began)


async def test_a_decision_is_heard_although_nobody_has_waited_long() -> None:
    """Whoever holds a rollout reads at once that it is held."""
    clock = StandingClock()
    async with Deciding.about(PLAIN, clock=clock) as deciding:
        running = asyncio.ensure_future(deciding.promoter.run())
        await settled()
        began = clock.monotonic()
        await deciding.order("hold")
        await settled()
        assert (deciding.promoter.waiting, clock.monotonic()) == (held(deciding.rollout), began)
        running.cancel()

"""What time leads to: the heartbeat stays away, a phase lasts too long, the watch after a promotion ends."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from canary.policy.model import Policy
from canary.policy.release import Phase, Receiver, Rollback, Watchdog
from canary.rollout.commands.commands import Command
from canary.rollout.commands.finishing import CompleteFinish, Finish, FinishStep
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry, Held, Recorded, Resumed, RollbackDecided
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from tests.support.clock import FakeClock
from tests.support.receiving.deciding import AwayJournal, Deciding

BLIND = Policy(service="shop", receiver=Receiver(watchdog=Watchdog(timeout=180, then=600)))


async def test_silence_holds_then_rolls_back() -> None:
    """Three minutes without a heartbeat hold the rollout, ten more roll it back."""
    async with Deciding.about(BLIND) as deciding:
        await deciding.passes(179)
        assert deciding.state() is State.PHASE
        await deciding.passes(2)
        assert (deciding.state(), deciding.rollout.cause) == (State.HOLDING, "watchdog")
        await deciding.passes(598)
        assert deciding.state() is State.HOLDING
        await deciding.passes(2)
        assert (deciding.state(), deciding.rollout.cause) == (State.ROLLING_BACK, "watchdog")


async def test_a_heartbeat_ends_its_own_hold() -> None:
    """When the heartbeat is back the rollout goes on; a hold for another reason stays."""
    async with Deciding.about(BLIND) as deciding:
        await deciding.passes(181)
        deciding.beat()
        await deciding.passes(1)
        assert deciding.state() is State.PHASE

        await deciding.order("hold")
        await deciding.passes(200)
        deciding.beat()
        await deciding.passes(1)
        assert (deciding.state(), deciding.rollout.cause) == (State.HOLDING, "manual")


@pytest.mark.parametrize(
    ("watchdog", "phase"),
    [(Watchdog(action="stay"), 0), (Watchdog(up_to=0.1), 1)],
)
async def test_staying_is_a_policy(watchdog: Watchdog, phase: int) -> None:
    """Where the policy says so, or with more customers than it allows to move blindly, the share stays as it is."""
    policy = Policy(service="shop", receiver=Receiver(watchdog=watchdog))
    async with Deciding.about(policy) as deciding:
        for _ in range(phase):
            await deciding.order("advance")
        await deciding.passes(10_000)
        await deciding.passes(10_000)

        assert deciding.state() is State.HOLDING


async def test_silence_after_a_rollback_asks_for_nothing() -> None:
    """When nobody is on the canary any more, the heartbeat's silence does not matter."""
    async with Deciding.about(BLIND) as deciding:
        await deciding.order("rollback")
        await deciding.passes(10_000)

        assert deciding.watchdog.verdict(deciding.rollout) == ""


async def test_a_phase_that_lasts_too_long_is_held_and_may_go_on() -> None:
    """After `max_duration` the rollout is held; resumed by a person, it has as long again."""
    phases = (Phase(traffic=0.05, duration=60, max_duration=120), Phase(traffic=1, duration=60))
    async with Deciding.about(Policy(service="shop", phases=phases)) as deciding:
        await deciding.passes(121)
        assert (deciding.state(), deciding.rollout.cause) == (State.HOLDING, "max_duration")

        deciding.beat()
        await deciding.order("resume")
        await deciding.passes(119)
        assert deciding.state() is State.PHASE
        await deciding.passes(2)
        assert deciding.state() is State.HOLDING


async def test_the_watch_after_a_promotion_is_closed() -> None:
    """When the watch is over that is written down, once, with the limits that were broken meanwhile."""
    async with Deciding.about(Policy(service="shop", rollback=Rollback(watch=3600))) as deciding:
        await deciding.order("promote")
        await deciding.hear("CanaryPaymentSuccessLow", "rollback")
        await deciding.passes(3599)
        assert "watch_closed" not in deciding.rollout.recorded

        await deciding.passes(2)
        await deciding.passes(3600)
        closing = [entry for entry in await deciding.store.entries() if entry.data().get("key") == "watch_closed"]
        assert [entry.reason for entry in closing] == ["limits broken: CanaryPaymentSuccessLow"]
        assert closing[0].kind is Kind.RECORDED


async def test_the_watch_goes_on_while_the_release_is_finished_and_afterwards() -> None:
    """It begins with the promotion, whatever comes then; a limit that is broken after the finish is written down."""
    async with Deciding.about(Policy(service="shop", rollback=Rollback(watch=3600))) as deciding:
        await deciding.order("promote")
        await deciding.passes(1800)
        seen = Seen.of(deciding.rollout)
        await deciding.store.propose(seen, Finish(actor="ann", weights=(0.0,), step_seconds=1))
        await deciding.store.propose(Seen.of(deciding.rollout), FinishStep(actor="ann", last=True))
        done = CompleteFinish(rollout=deciding.rollout.id, reason="done", decision=deciding.rollout.decision)
        await deciding.store.propose(None, done)
        assert deciding.state() is State.FINISHED
        await deciding.hear("CanaryPaymentSuccessLow", "rollback")
        await deciding.passes(1799)
        assert "watch_closed" not in deciding.rollout.recorded

        await deciding.passes(2)
        closing = [entry for entry in await deciding.store.entries() if entry.data().get("key") == "watch_closed"]
        assert [entry.reason for entry in closing] == ["limits broken: CanaryPaymentSuccessLow"]
        assert deciding.state() is State.FINISHED
        await deciding.hear("CanaryHighErrorRate", "rollback")
        assert "watch:CanaryHighErrorRate" not in deciding.rollout.recorded, "the watch is over"


async def test_a_canary_that_nobody_watches_is_rolled_back_without_a_leader() -> None:
    """With the journal's database away nobody can tell who leads: silence rolls back, and holds nothing."""
    async with Deciding.about(BLIND) as deciding:
        deciding.journal.broken = True
        deciding.leader.leading, deciding.leader.unknown = False, True
        await deciding.passes(779)
        assert deciding.state() is State.PHASE
        await deciding.passes(2)
        assert (deciding.state(), deciding.rollout.cause) == (State.ROLLING_BACK, "watchdog")


async def test_who_only_stands_by_leaves_silence_to_the_leader() -> None:
    """Another receiver leads, and hears what this one may not."""
    async with Deciding.about(BLIND) as deciding:
        deciding.leader.leading = False
        await deciding.passes(10_000)
        assert deciding.state() is State.PHASE


COUNTDOWN = Policy(service="shop", rollback=Rollback(countdown=60))


@pytest.mark.parametrize(("written", "ends"), [(False, State.ROLLING_BACK), (True, State.HOLDING)])
async def test_a_countdown_without_a_leader_ends_where_nobody_can_have_cancelled_it(written: bool, ends: State) -> None:
    """One that the journal has not taken is this receiver's alone; one in the journal may be cancelled by now."""
    async with Deciding.about(COUNTDOWN) as deciding:
        deciding.journal.broken = not written
        await deciding.hear("CanaryHighErrorRate", "rollback")
        assert deciding.rollout.rollback_at is not None
        deciding.journal.broken = True
        deciding.leader.leading, deciding.leader.unknown = False, True
        await deciding.passes(59)
        assert deciding.state() is State.HOLDING
        await deciding.passes(2)
        assert deciding.state() is ends


async def test_the_countdown_rolls_back_as_the_alert_said() -> None:
    """To the second; whoever reads the journal finds what the alert found, and that nobody has asked for it."""
    async with Deciding.about(COUNTDOWN) as deciding:
        await deciding.hear("CanaryHighErrorRate", "rollback")
        (held,) = [entry for entry in await deciding.entries() if isinstance(entry, Held)]
        await deciding.passes(59.5)
        assert deciding.state() is State.HOLDING
        await deciding.passes(0.5)

        (rolled,) = [entry for entry in await deciding.entries() if isinstance(entry, RollbackDecided)]
        assert (rolled.actor, rolled.cause, rolled.reason) == ("receiver", "CanaryHighErrorRate", held.reason)


async def test_a_countdown_that_is_cancelled_while_it_ends_rolls_nobody_back() -> None:
    """A person's word that is written first counts, and only a hold that counted ends in a rollback."""
    async with Deciding.about(COUNTDOWN) as deciding:
        await deciding.hear("CanaryHighErrorRate", "rollback")
        deciding.clock.advance(61)
        resuming = asyncio.ensure_future(deciding.order("resume"))
        await asyncio.sleep(0)
        await deciding.deadlines.step()

        assert (await resuming).kind is Kind.RESUMED
        assert deciding.state() is State.PHASE


async def test_what_the_silence_of_the_heartbeat_did_is_said_in_words() -> None:
    """Who, why and for how long, and that it ends by itself; the same for its end and for the rollback."""
    away = "no heartbeat from Prometheus through Alertmanager for"
    async with Deciding.about(BLIND) as deciding:
        await deciding.passes(180.6)
        assert (deciding.rollout.actor, deciding.rollout.reason) == ("receiver", f"{away} 3m1s")
        assert deciding.rollout.lifts
        deciding.beat()
        await deciding.passes(1)
        (resumed,) = [entry for entry in await deciding.entries() if isinstance(entry, Resumed)]
        assert (resumed.actor, resumed.reason) == ("receiver", "the heartbeat is back")

        await deciding.passes(781)
        (rolled,) = [entry for entry in await deciding.entries() if isinstance(entry, RollbackDecided)]
        assert (rolled.actor, rolled.reason) == ("receiver", f"{away} 13m2s")


async def test_a_person_who_resumes_against_the_silence_is_not_overruled_by_its_end() -> None:
    """What the heartbeat ends is its own hold as it was seen: a person's decision meanwhile stays."""
    async with Deciding.about(BLIND) as deciding:
        await deciding.passes(181)
        deciding.beat()
        holding = asyncio.ensure_future(deciding.order("hold"))
        await asyncio.sleep(0)
        await deciding.passes(1)

        assert (await holding).kind is Kind.HELD
        assert (deciding.state(), deciding.rollout.cause) == (State.HOLDING, "manual")


LONG = (Phase(traffic=0.05, duration=60, max_duration=120), Phase(traffic=1, duration=60, max_duration=90))
CALM = Receiver(watchdog=Watchdog(timeout=1e9))


async def test_a_phase_that_lasts_too_long_is_named_with_its_limit() -> None:
    """Up to the limit nothing happens; then people read which phase it is and how long it may last."""
    async with Deciding.about(Policy(service="shop", phases=LONG, receiver=CALM)) as deciding:
        await deciding.order("advance")
        await deciding.passes(90)
        assert deciding.state() is State.BAKING
        await deciding.passes(0.5)

        found = deciding.rollout
        assert (found.state, found.actor, found.lifts) == (State.HOLDING, "receiver", False)
        assert found.reason == "phase 2 was not allowed to end within 1m30s"


async def test_a_phase_without_a_limit_lasts_as_long_as_it_takes() -> None:
    """Nobody has said how long is too long."""
    phases = (Phase(traffic=0.05, duration=60), Phase(traffic=1, duration=60))
    async with Deciding.about(Policy(service="shop", phases=phases, receiver=CALM)) as deciding:
        await deciding.passes(1e6)
        assert deciding.state() is State.PHASE


async def test_a_freeze_is_no_time_in_which_a_phase_could_end() -> None:
    """The limit counts anew from the end of a freeze, and never from before the phase began."""
    async with Deciding.about(Policy(service="shop", phases=LONG, receiver=CALM)) as deciding:
        await deciding.passes(100)
        await deciding.freezes.begin(deciding.clock.now() + timedelta(seconds=50), actor="ann", reason="sale")
        await deciding.passes(49)
        await deciding.passes(120)
        assert deciding.state() is State.PHASE
        await deciding.passes(1)
        assert (deciding.state(), deciding.rollout.cause) == (State.HOLDING, "max_duration")


async def test_a_limit_that_is_over_holds_no_phase_that_has_begun_meanwhile() -> None:
    """An advance that is written first ends the phase that lasted too long."""
    async with Deciding.about(Policy(service="shop", phases=LONG, receiver=CALM)) as deciding:
        deciding.clock.advance(121)
        advancing = asyncio.ensure_future(deciding.order("advance"))
        await asyncio.sleep(0)
        await deciding.deadlines.step()

        assert (await advancing).kind is Kind.ADVANCED
        assert (deciding.state(), deciding.rollout.phase) == (State.BAKING, 1)


async def test_a_dry_run_says_once_what_time_would_have_done() -> None:
    """The same words as without it, as what people should hear of; nothing is held."""
    policy = Policy(service="shop", phases=LONG, rollback=Rollback(dry_run=True), receiver=BLIND.receiver)
    async with Deciding.about(policy) as deciding:
        for _ in range(4):
            await deciding.passes(181)
        await deciding.passes(181)

        told = [entry for entry in await deciding.entries() if isinstance(entry, Recorded)]
        assert [(one.key, one.occasion, one.reason, one.actor) for one in told] == [
            (
                "dry_hold:watchdog",
                "dry_hold",
                "no heartbeat from Prometheus through Alertmanager for 3m1s",
                "receiver",
            ),
            ("dry_hold:max_duration", "dry_hold", "phase 1 was not allowed to end within 2m", "receiver"),
        ]
        assert deciding.state() is State.PHASE


async def test_every_watch_is_closed_though_an_earlier_one_is() -> None:
    """Each promotion has its own, in the order of the rollouts, to the second; without an alert it says so."""
    policy = Policy(service="shop", rollback=Rollback(watch=3600), receiver=CALM)
    async with Deciding.about(policy) as deciding:
        first = deciding.rollout.id
        await deciding.order("promote")
        await deciding.passes(3600.5)
        await deciding.order("start", canary="v3.0", stable="v2.0", force=True)
        second = deciding.rollout.id
        await deciding.order("promote")
        for name in ("Shop:PaymentSuccessLow", "CanaryHighErrorRate"):
            await deciding.hear(name, "rollback")
        await deciding.passes(3600)
        assert "watch_closed" not in deciding.rollout.recorded
        await deciding.passes(0.5)
        await deciding.passes(3600)

        told = [entry for entry in await deciding.entries() if isinstance(entry, Recorded)]
        closed = [(one.rollout, one.reason, one.occasion) for one in told if one.key == "watch_closed"]
        broken = "limits broken: CanaryHighErrorRate, Shop:PaymentSuccessLow"
        assert closed == [(first, "no limit was broken", "watched"), (second, broken, "watched")]


class Machine(FakeClock):
    """A clock whose machine may be started again."""

    started = "earlier"

    @property
    def boot(self) -> str:
        """Which start of it."""
        return self.started


async def test_a_watch_that_another_machine_began_ends_by_the_wall_clock() -> None:
    """After a restart of the machine it does not restart: what was promoted long ago is not watched for ever."""
    policy = Policy(service="shop", rollback=Rollback(watch=3600), receiver=CALM)
    clock = Machine()
    async with Deciding.about(policy, clock=clock) as deciding:
        await deciding.order("promote")
        clock.started = "later"
        clock.advance(3601)
        await deciding.passes(0)

        assert "watch_closed" in deciding.rollout.recorded


async def test_what_cannot_be_written_in_time_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """An administrator reads why; one deadline that fails keeps none of the others away."""
    policy = Policy(service="shop", phases=LONG, rollback=Rollback(dry_run=True), receiver=BLIND.receiver)
    async with Deciding.about(policy) as deciding:
        deciding.journal.broken = True
        await deciding.passes(181)
        (record, _) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert (record.name, record.getMessage()) == ("canary.deadlines", "cannot act in time")
        assert "no space left" in str(vars(record)["canary_fields"]["error"])

        deciding.journal.broken = False
        await deciding.passes(1)
        assert {"dry_hold:watchdog", "dry_hold:max_duration"} <= deciding.rollout.recorded


async def test_before_the_first_rollout_time_leads_to_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Whether or not this receiver leads, and whether or not it knows."""
    idle = Deciding(BLIND, AwayJournal())
    for idle.leader.leading, idle.leader.unknown in ((True, False), (False, True), (False, False)):
        await idle.passes(10_000)

    assert (await idle.entries(), caplog.records) == ([], [])


async def test_without_a_leader_an_ended_rollout_is_left_alone() -> None:
    """Nothing is on the canary any more, so its heartbeat does not matter."""
    async with Deciding.about(BLIND) as deciding:
        await deciding.order("rollback")
        deciding.leader.leading, deciding.leader.unknown = False, True
        await deciding.passes(10_000)

        assert (await deciding.kinds()).count(Kind.ROLLBACK) == 1


async def test_the_lead_is_asked_before_each_deadline() -> None:
    """Lost while one is written, it decides nothing more."""
    async with Deciding.about(BLIND) as deciding:
        asked: list[str] = []

        def lose() -> None:
            asked.append("")
            deciding.leader.leading = len(asked) < 2

        deciding.leader.asked = lose
        deciding.clock.advance(181)
        await deciding.deadlines.step()

        assert (len(asked), deciding.state()) == (2, State.PHASE)


async def test_the_clock_is_looked_at_once_a_second() -> None:
    """What ends is at most a second late, until the receiver stops."""
    async with Deciding.about(BLIND) as deciding:
        looking = asyncio.ensure_future(deciding.deadlines.run())
        began = deciding.clock.monotonic()
        for _ in range(3000):
            await asyncio.sleep(0)
            if deciding.state() is not State.PHASE:
                break
        looking.cancel()

        assert (deciding.state(), deciding.clock.monotonic() - began) == (State.HOLDING, 181)


async def test_whatever_time_decides_is_about_the_rollout_that_was_looked_at() -> None:
    """Another one that has begun meanwhile is not held or rolled back for the time that this one took."""
    policy = Policy(service="shop", phases=LONG, rollback=Rollback(countdown=60), receiver=BLIND.receiver)
    proposed: list[tuple[str, bool]] = []
    async with Deciding.about(policy) as deciding:
        propose = deciding.store.propose

        async def recorded(seen: Seen | None, command: Command, **more: Any) -> Entry:
            proposed.append((type(command).__name__, seen == Seen.of(deciding.rollout)))
            return await propose(seen, command, **more)

        deciding.store.propose = recorded  # type: ignore[method-assign]
        await deciding.passes(121)
        await deciding.order("resume")
        await deciding.hear("CanaryHighErrorRate", "rollback")
        deciding.beat()
        await deciding.passes(61)
        assert proposed[0] == ("Hold", True)
        assert proposed[-1] == ("RollBack", True)
    proposed.clear()
    async with Deciding.about(BLIND) as deciding:
        propose = deciding.store.propose
        deciding.store.propose = recorded  # type: ignore[method-assign]
        for _ in range(2):
            await deciding.passes(500)
    assert proposed == [("Hold", True), ("RollBack", True)]


async def test_a_silence_that_ends_a_rollout_that_is_being_promoted_comes_too_late() -> None:
    """Nobody has asked for that rollback, and the person who promotes has decided."""
    async with Deciding.about(BLIND) as deciding:
        await deciding.passes(181)
        deciding.clock.advance(600)
        promoting = asyncio.ensure_future(deciding.order("promote", force=True))
        await asyncio.sleep(0)
        await deciding.deadlines.step()

        assert (await promoting).kind is Kind.PROMOTED
        assert deciding.state() is State.PROMOTED


async def test_a_rollout_keeps_what_it_began_with_when_the_file_changes() -> None:
    """A dry run stays one, and a watch as long as it was promised; the next rollout has the new ones."""
    policy = Policy(service="shop", phases=LONG, rollback=Rollback(dry_run=True, watch=3600), receiver=BLIND.receiver)
    async with Deciding.about(policy) as deciding:
        first = deciding.rollout.id
        deciding.plans.file = replace(policy, rollback=Rollback(watch=60))
        await deciding.passes(200)
        assert {"dry_hold:watchdog", "dry_hold:max_duration"} <= deciding.rollout.recorded
        deciding.beat()
        await deciding.order("promote")
        await deciding.order("start", canary="v3.0", stable="v2.0", force=True)
        await deciding.order("promote")
        await deciding.passes(61)
        assert "watch_closed" in deciding.rollout.recorded
        assert "watch_closed" not in deciding.store.rollouts[first].recorded

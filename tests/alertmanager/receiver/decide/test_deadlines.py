"""What time leads to: the heartbeat stays away, a phase lasts too long, the watch after a promotion ends."""

import pytest

from canary.policy.model import Policy
from canary.policy.release import Phase, Receiver, Rollback, Watchdog
from canary.rollout.commands.finishing import CompleteFinish, Finish, FinishStep
from canary.rollout.commands.seen import Seen
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from tests.support.receiving.deciding import Deciding

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

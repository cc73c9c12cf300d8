"""What alerts lead to: rollback, hold, dry run, countdown, or nothing but a count."""

import asyncio
from datetime import timedelta

import pytest

from alertmanager.receiver.decide.alerts.admission import Outcome
from alertmanager.receiver.http.webhook import Alert
from canary.policy.model import Policy
from canary.policy.release import Rollback
from canary.rollout.kinds import Kind
from canary.rollout.state import State
from tests.support.receiving.deciding import Deciding

PLAIN = Policy(service="shop")


async def test_a_rollback_alert_rolls_back_once() -> None:
    """The first alert rolls back; twenty more, and other alerts of the same rollout, only join."""
    async with Deciding.about(PLAIN) as deciding:
        first = await deciding.hear("CanaryHighErrorRate", "rollback")
        others = [await deciding.hear("CanaryVerySlowResponse", "rollback") for _ in range(20)]

        assert (first, set(others)) == (Outcome.ACCEPTED, {Outcome.JOINED})
        assert (await deciding.kinds()).count(Kind.ROLLBACK) == 1
        assert deciding.rollout.cause == "CanaryHighErrorRate"
        assert deciding.rollout.reason == "CanaryHighErrorRate of the canary"


async def test_a_hold_alert_holds() -> None:
    """A hold alert freezes the share, once; a rollback alert still rolls back."""
    async with Deciding.about(PLAIN) as deciding:
        assert await deciding.hear("CanaryBlind", "hold") is Outcome.ACCEPTED
        assert await deciding.hear("CanaryReplicaLag", "hold") is Outcome.JOINED
        assert (deciding.state(), deciding.rollout.lifts) == (State.HOLDING, True)

        await deciding.hear("CanaryHighErrorRate", "rollback")
        assert deciding.state() is State.ROLLING_BACK


@pytest.mark.parametrize("by", ["policy", "alert"])
async def test_a_dry_run_does_everything_but_act(by: str) -> None:
    """In a dry run, of the policy or of one alert, it is counted and recorded once per alert, and nothing moves."""
    policy = Policy(service="shop", rollback=Rollback(dry_run=by == "policy"))
    labels = {"dry_run": "true"} if by == "alert" else {}
    async with Deciding.about(policy) as deciding:
        outcomes = {await deciding.hear("CanaryHighErrorRate", "rollback", **labels) for _ in range(3)}

        assert outcomes == {Outcome.DRY_RUN}
        assert (deciding.state(), deciding.rollout.weight) == (State.PHASE, 0.05)
        assert (await deciding.kinds()).count(Kind.RECORDED) == 1
        counted = {"service": "shop", "action": "rollback", "outcome": "dry_run"}
        assert deciding.registry.get_sample_value("canary_actions_total", counted) == 1


async def test_without_automatic_rollback_it_holds() -> None:
    """Where rollbacks are left to people, a rollback alert holds, and only a person lifts it."""
    async with Deciding.about(Policy(service="shop", rollback=Rollback(automatic=False))) as deciding:
        await deciding.hear("CanaryHighErrorRate", "rollback")

        assert (deciding.state(), deciding.rollout.lifts) == (State.HOLDING, False)


async def test_what_a_person_must_decide_is_said_although_something_less_holds_already() -> None:
    """Where rollbacks are left to people, nobody would come to decide about a hold that seems to end by itself."""
    async with Deciding.about(Policy(service="shop", rollback=Rollback(automatic=False))) as deciding:
        await deciding.hear("CanaryBlind", "hold")
        await deciding.hear("CanaryHighErrorRate", "rollback")
        await deciding.hear("CanaryBlind", "hold")

        assert (deciding.rollout.cause, deciding.rollout.lifts) == ("CanaryHighErrorRate", False)
        assert (await deciding.kinds()).count(Kind.HELD) == 2


async def test_a_countdown_ends_in_a_rollback() -> None:
    """With a countdown the share is frozen at once, and the rollback comes when the time is over."""
    async with Deciding.about(Policy(service="shop", rollback=Rollback(countdown=30))) as deciding:
        await deciding.hear("CanaryHighErrorRate", "rollback")
        assert deciding.rollout.rollback_at == deciding.clock.now() + timedelta(seconds=30)

        await deciding.passes(29)
        assert deciding.state() is State.HOLDING
        await deciding.passes(2)
        assert (deciding.state(), deciding.rollout.cause) == (State.ROLLING_BACK, "CanaryHighErrorRate")


async def test_a_cancelled_countdown_is_forgiven() -> None:
    """After a person has cancelled, the same alert does not count down again in this phase; another one does."""
    async with Deciding.about(Policy(service="shop", rollback=Rollback(countdown=30))) as deciding:
        await deciding.hear("CanaryHighErrorRate", "rollback")
        await deciding.order("resume")
        await deciding.passes(60)

        assert deciding.state() is State.PHASE
        assert await deciding.hear("CanaryHighErrorRate", "rollback") is Outcome.OVERRIDDEN
        assert await deciding.hear("CanaryHighMemory", "rollback") is Outcome.ACCEPTED
        assert deciding.rollout.rollback_at is not None


async def test_after_the_promotion_alerts_are_noted_only() -> None:
    """The old version may be gone: an alert then is recorded once, and people are notified; a person may roll back."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.order("promote")
        for _ in range(3):
            assert await deciding.hear("CanaryPaymentSuccessLow", "rollback") is Outcome.INFORMED

        assert deciding.state() is State.PROMOTED
        assert "watch:CanaryPaymentSuccessLow" in deciding.rollout.recorded
        await deciding.order("rollback")
        assert deciding.state() is State.ROLLING_BACK


@pytest.mark.parametrize("action", ["hold", "rollback"])
async def test_an_alert_never_loses_against_a_simultaneous_advance(action: str) -> None:
    """Admitted while an advance is being written, a hold or a rollback is obeyed all the same."""
    async with Deciding.about(PLAIN) as deciding:
        advancing = asyncio.ensure_future(deciding.order("advance"))
        await asyncio.sleep(0)
        outcome = await deciding.hear("CanaryX", action)

        assert (await advancing).kind is Kind.ADVANCED
        assert (outcome, deciding.rollout.phase) == (Outcome.ACCEPTED, 1)
        assert deciding.state() is {"hold": State.HOLDING, "rollback": State.ROLLING_BACK}[action]


async def test_an_alert_that_fits_no_more_when_it_is_written() -> None:
    """Between admission and writing the rollout may be promoted by a person; then an alert moves nobody."""
    async with Deciding.about(PLAIN) as deciding:
        promoting = asyncio.ensure_future(deciding.order("promote"))
        await asyncio.sleep(0)
        outcome = await deciding.hear("CanaryX", "rollback")

        assert (await promoting).kind is Kind.PROMOTED
        assert (outcome, deciding.state()) == (Outcome.JOINED, State.PROMOTED)


async def test_a_notification_full_of_foreign_alerts_is_quick() -> None:
    """However many alerts of other rollouts come at once, the journal is asked for news once."""
    async with Deciding.about(PLAIN) as deciding:
        labels = {"service": "shop", "action": "rollback"}
        foreign = [Alert({**labels, "rollout": f"r{number}"}, {}, firing=True) for number in range(999)]
        before = deciding.clock.monotonic()

        outcomes = await deciding.handler.take(foreign, actor="alertmanager")

        assert {outcome for _, outcome in outcomes} == {Outcome.OTHER_ROLLOUT}
        assert deciding.clock.monotonic() - before < 1


async def test_an_alert_about_another_rollout_holds_up_no_rollback() -> None:
    """Only what may be news waits for the journal; a rollback in the same notification is decided before."""
    async with Deciding.about(PLAIN) as deciding:
        states: list[State] = []

        async def hanging() -> None:
            states.append(deciding.state())

        deciding.store.catch_up = hanging  # type: ignore[method-assign]
        told = [
            _alert(deciding, "CanaryBlind", "hold", rollout="v1.0-20260101T000000"),
            _alert(deciding, "CanaryHighErrorRate", "rollback", rollout=deciding.rollout.id),
        ]
        outcomes = await deciding.handler.take(told, actor="alertmanager")

        assert states == [State.ROLLING_BACK]
        assert outcomes == [("rollback", Outcome.ACCEPTED), ("hold", Outcome.OTHER_ROLLOUT)]


def _alert(deciding: Deciding, name: str, action: str, **labels: str) -> Alert:
    told = {"alertname": name, "service": deciding.policy.service, "action": action, **labels}
    return Alert(told, {}, firing=True)

"""What alerts lead to: rollback, hold, dry run, countdown, or nothing but a count."""

import asyncio
from datetime import timedelta

import pytest

from alertmanager.receiver.decide.alerts.admission import Outcome
from alertmanager.receiver.http.webhook import Alert
from canary import names
from canary.policy.model import Policy
from canary.policy.release import Rollback
from canary.rollout.commands.finishing import Finish
from canary.rollout.entries import Entry, Held, Recorded, RollbackDecided
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
@pytest.mark.parametrize(("action", "occasion"), [("rollback", "dry_run"), ("hold", "dry_hold")])
async def test_a_dry_run_does_everything_but_act(by: str, action: str, occasion: str) -> None:
    """In a dry run, of the policy or of one alert, each alert is recorded once, and nothing moves; rollbacks count."""
    policy = Policy(service="shop", rollback=Rollback(dry_run=by == "policy"))
    labels = {"dry_run": "true"} if by == "alert" else {}
    async with Deciding.about(policy) as deciding:
        outcomes = {await deciding.hear("CanaryHighErrorRate", action, **labels) for _ in range(3)}

        assert outcomes == {Outcome.DRY_RUN}
        assert (deciding.state(), deciding.rollout.weight) == (State.PHASE, 0.05)
        assert (await deciding.kinds()).count(Kind.RECORDED) == 1
        _require_record(await newest(deciding), occasion, "CanaryHighErrorRate")
        counted = {"service": "shop", "action": "rollback", "outcome": "dry_run"}
        expected = 1 if action == "rollback" else None
        assert deciding.registry.get_sample_value("canary_actions_total", counted) == expected


@pytest.mark.parametrize(
    ("begun_with", "action", "outcome", "state"),
    [
        (Rollback(dry_run=True), "rollback", Outcome.DRY_RUN, State.PHASE),
        (Rollback(dry_run=True), "hold", Outcome.DRY_RUN, State.PHASE),
        (Rollback(automatic=False), "rollback", Outcome.ACCEPTED, State.HOLDING),
    ],
)
async def test_a_rollout_goes_by_the_policy_that_it_began_with(
    begun_with: Rollback, action: str, outcome: Outcome, state: State
) -> None:
    """A policy file that asks for automatic rollbacks by now is about the next rollout."""
    async with Deciding.about(Policy(service="shop", rollback=begun_with)) as deciding:
        deciding.plans.file = PLAIN

        assert (await deciding.hear("CanaryX", action), deciding.state()) == (outcome, state)


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
        assert deciding.rollout.actor == "alertmanager"

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
        _require_record(await newest(deciding), "watch", "CanaryPaymentSuccessLow")
        await deciding.order("rollback")
        assert deciding.state() is State.ROLLING_BACK


async def test_while_a_release_is_finished_a_rollback_alert_holds_its_step() -> None:
    """Both groups run one version, so there is nothing to go back to, and no reason to go on either."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.order("promote")
        await deciding.store.propose(None, Finish(actor="ann", weights=(0.5, 0.0), step_seconds=60.0))

        assert await deciding.hear("CanaryHighErrorRate", "rollback") is Outcome.ACCEPTED
        assert (deciding.state(), deciding.rollout.frozen) == (State.FINISHING, True)
        assert (deciding.rollout.actor, deciding.rollout.cause) == ("alertmanager", "CanaryHighErrorRate")


@pytest.mark.parametrize(
    ("labels", "kpi"), [({names.KPI: "revenue"}, "revenue"), ({names.KPI: "k" * 200}, "k" * 128), ({}, "")]
)
@pytest.mark.parametrize(("action", "kind"), [("rollback", RollbackDecided), ("hold", Held)])
async def test_a_decision_says_who_told_it_why_and_by_which_kpi(
    action: str, kind: type[RollbackDecided | Held], labels: dict[str, str], kpi: str
) -> None:
    """The journal has Alertmanager as the actor, the alert's own words, and its KPI where it is about one."""
    async with Deciding.about(PLAIN) as deciding:
        await deciding.hear("CanaryX", action, **labels)

        decided = await newest(deciding)
        assert isinstance(decided, kind)
        assert (decided.actor, decided.cause, decided.kpi) == ("alertmanager", "CanaryX", kpi)
        assert decided.reason == "CanaryX of the canary"


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


async def test_what_protects_customers_comes_first() -> None:
    """Whatever the order in the notification; actions that nobody knows are counted as none."""
    async with Deciding.about(PLAIN) as deciding:
        asked = ("explode", "none", "advance", "hold", "rollback")
        told = [_alert(deciding, f"Canary{action}", action, rollout=deciding.rollout.id) for action in asked]

        assert await deciding.handler.take(told, actor="alertmanager") == [
            ("rollback", Outcome.ACCEPTED),
            ("hold", Outcome.ENDED),
            ("advance", Outcome.ENDED),
            ("none", Outcome.INFORMED),
            ("none", Outcome.INFORMED),
        ]


@pytest.mark.parametrize(
    ("action", "truncated", "outcome", "actor"),
    [
        ("hold", False, Outcome.ACCEPTED, "alertmanager"),
        ("advance", False, Outcome.ACCEPTED, "ann"),
        ("advance", True, Outcome.TRUNCATED, "ann"),
    ],
)
async def test_an_alert_about_what_another_receiver_has_begun(
    action: str, outcome: Outcome, actor: str, *, truncated: bool
) -> None:
    """The journal is asked for news, and then it counts as if it had been known."""
    async with Deciding.about(PLAIN) as leading:
        late = Deciding(PLAIN, leading.journal, leading.clock)
        told = _alert(late, names.PHASE_COMPLETE, action, rollout=leading.rollout.id, phase="0")

        assert await late.handler.take([told], actor="alertmanager", truncated=truncated) == [(action, outcome)]
        assert late.rollout.actor == actor


async def newest(deciding: Deciding) -> Entry:
    """The newest entry of the journal."""
    return (await deciding.entries())[-1]


def _require_record(entry: Entry, occasion: str, cause: str) -> None:
    """Whoever reads the journal, or is notified, finds who has told what, and what it would have led to."""
    assert isinstance(entry, Recorded)
    assert (entry.occasion, entry.key) == (occasion, f"{occasion}:{cause}")
    assert (entry.actor, entry.reason) == ("alertmanager", f"{cause} of the canary")


def _alert(deciding: Deciding, name: str, action: str, **labels: str) -> Alert:
    told = {"alertname": name, "service": deciding.policy.service, "action": action, **labels}
    return Alert(told, {}, firing=True)

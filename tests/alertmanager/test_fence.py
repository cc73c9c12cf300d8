"""Which alerts count."""

from datetime import UTC, datetime, timedelta

import pytest

from alertmanager.fence import Outcome, judged
from alertmanager.webhook import Alert
from canary import commands
from canary.policy.model import Policy
from canary.rollout import Entry, Kind, Rollout, fold

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LABELS = {"alertname": "CanaryHighErrorRate", "service": "shop", "action": "rollback", "rollout": "r1"}


def rollout(*kinds: Kind) -> Rollout:
    """Rollout r1, which began at noon and has gone on as told."""
    data = {"cause": "x", "phase": 1}
    first = commands.start(None, Policy(service="shop"), rollout="r1", stable="v1", canary="v2", at=NOON, actor="ann")
    made = fold([first, *(Entry("r1", kind, NOON, "ann", "", data) for kind in kinds)])
    assert made is not None
    return made


def heard(*, firing: bool = True, starts_at: datetime | None = NOON, **labels: str) -> Alert:
    """An alert about r1 with some labels changed; an empty one is left out."""
    return Alert({name: text for name, text in (LABELS | labels).items() if text}, {}, firing, starts_at)


@pytest.mark.parametrize(
    ("alert", "outcome"),
    [
        (heard(), Outcome.ACCEPTED),
        (heard(starts_at=None), Outcome.ACCEPTED),
        (heard(action="hold"), Outcome.ACCEPTED),
        (heard(phase="0"), Outcome.ACCEPTED),
        (heard(service="other"), Outcome.OTHER_SERVICE),
        (heard(service=""), Outcome.OTHER_SERVICE),
        (heard(action="none"), Outcome.INFORMED),
        (heard(action=""), Outcome.INFORMED),
        (heard(action="dance"), Outcome.INFORMED),
        (heard(firing=False), Outcome.RESOLVED),
        (heard(rollout=""), Outcome.NO_ROLLOUT),
        (heard(rollout="r0"), Outcome.OTHER_ROLLOUT),
        (heard(phase="1"), Outcome.OTHER_PHASE),
        (heard(starts_at=NOON - timedelta(minutes=1)), Outcome.BEFORE_START),
        (heard(starts_at=NOON - timedelta(seconds=2)), Outcome.ACCEPTED),
    ],
)
def test_only_the_running_rollouts_alerts_count(alert: Alert, outcome: Outcome) -> None:
    """Another service, rollout or phase, an older alert, a resolved one, or one that asks for nothing: not counted."""
    assert judged(alert, rollout(), "shop") is outcome


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        ([Kind.HELD], Outcome.ACCEPTED),
        ([Kind.PROMOTED], Outcome.ACCEPTED),
        ([Kind.ROLLBACK], Outcome.JOINED),
        ([Kind.ROLLBACK, Kind.ROLLED_BACK], Outcome.JOINED),
        ([Kind.ROLLBACK, Kind.FAILED], Outcome.ENDED),
    ],
)
def test_what_is_over_is_over(kinds: list[Kind], outcome: Outcome) -> None:
    """A rollback that runs or has run is joined; what has ended otherwise takes no alert."""
    assert judged(heard(), rollout(*kinds), "shop") is outcome


def test_before_the_first_rollout_nothing_counts() -> None:
    """Without a rollout no alert can be about it."""
    assert judged(heard(), None, "shop") is Outcome.NO_ROLLOUT

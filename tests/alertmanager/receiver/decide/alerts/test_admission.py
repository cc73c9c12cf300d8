"""Which alerts count."""

from datetime import UTC, datetime

import pytest

from alertmanager.receiver.decide.alerts.admission import Outcome, admit
from alertmanager.receiver.http.webhook import Alert
from canary.rollout.entries import Entry, Failed, Held, Promoted, RollbackDecided, RolledBack, Started
from canary.rollout.folding import fold
from canary.rollout.state import Rollout

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LABELS = {"alertname": "CanaryHighErrorRate", "service": "shop", "action": "rollback", "rollout": "r1"}


HELD, PROMOTED = Held(rollout="r1", at=NOON, actor="ann"), Promoted(rollout="r1", at=NOON, actor="ann")
ROLLBACK = RollbackDecided(rollout="r1", at=NOON, actor="ann", cause="x")
ROLLED_BACK, FAILED = RolledBack(rollout="r1", at=NOON, actor="ann"), Failed(rollout="r1", at=NOON, actor="ann")


def rollout(*entries: Entry) -> Rollout:
    """Rollout r1, which began at noon and has gone on as told."""
    first = Started(
        rollout="r1", at=NOON, actor="ann", stable="v1", canary="v2", traffic=(0.05, 1.0), durations_seconds=(300, 900)
    )
    return fold([first, *entries])["r1"]


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
        (heard(starts_at=datetime(1970, 1, 1, tzinfo=UTC)), Outcome.ACCEPTED),
    ],
)
def test_only_the_running_rollouts_alerts_count(alert: Alert, outcome: Outcome) -> None:
    """Another service, rollout, phase, a resolved alert, one that asks for nothing: not counted, at whatever time."""
    assert admit(alert, rollout(), "shop") is outcome


@pytest.mark.parametrize(
    ("entries", "outcome"),
    [
        ([HELD], Outcome.ACCEPTED),
        ([PROMOTED], Outcome.ACCEPTED),
        ([ROLLBACK], Outcome.JOINED),
        ([ROLLBACK, ROLLED_BACK], Outcome.JOINED),
        ([ROLLBACK, FAILED], Outcome.ENDED),
    ],
)
def test_what_is_over_is_over(entries: list[Entry], outcome: Outcome) -> None:
    """A rollback that runs or has run is joined; what has ended otherwise takes no alert."""
    assert admit(heard(), rollout(*entries), "shop") is outcome


def test_before_the_first_rollout_nothing_counts() -> None:
    """Without a rollout no alert can be about it."""
    assert admit(heard(), None, "shop") is Outcome.NO_ROLLOUT

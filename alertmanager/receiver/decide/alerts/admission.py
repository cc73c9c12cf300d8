"""Which alerts count: only those of this service and of the rollout that runs now, and its phase where they name one.

What an alert is about stands in its labels. Moments are not compared: `startsAt` is of Prometheus' clock, the rollout's
start of the receiver's, and a clock that was set back in between once kept every alert of a rollout from counting. An
alert about an earlier rollout, or an earlier attempt with the same version, carries that rollout's id.
"""

from enum import StrEnum

from canary import names
from canary.prometheus.alert import Alert
from canary.rollout.kinds import WATCH_CLOSED
from canary.rollout.state import RUNNING, UNFINISHED, Rollout, State


class Outcome(StrEnum):
    """What became of one alert; the label value under which it is counted."""

    ACCEPTED = "accepted"
    """It changes something, or is a key that may."""
    JOINED = "joined"
    """What it asks for is happening or has happened already."""
    RESOLVED = "resolved"
    """It no longer fires; that never acts."""
    INFORMED = "informed"
    """It asks for nothing."""
    OTHER_SERVICE = "other_service"
    NO_ROLLOUT = "no_rollout"
    """It does not say which rollout it is about, or none has been started."""
    OTHER_ROLLOUT = "other_rollout"
    OTHER_PHASE = "other_phase"
    NO_EXPERIMENT = "no_experiment"
    """It is about an experiment that the policy does not have."""
    BEFORE_START = "before_start"
    """It is about a run of its experiment that is over."""
    ENDED = "ended"
    """Its rollout is over."""
    TRUNCATED = "truncated"
    """The notification left alerts out; nothing may be raised on incomplete information."""
    DRY_RUN = "dry_run"
    """It would have acted."""
    OVERRIDDEN = "forgiven"
    """A person has cancelled the rollback that it asked for."""
    FAILED = "failed"
    """The journal could not be written."""


def admit(alert: Alert, rollout: Rollout | None, service: str) -> Outcome:
    """ACCEPTED when the alert may act on the rollout, otherwise why not."""
    if alert.labels.get(names.SERVICE) != service:
        return Outcome.OTHER_SERVICE
    if alert.action not in names.ACTIONS or alert.action == "none":
        return Outcome.INFORMED
    if not alert.firing:
        return Outcome.RESOLVED
    if rollout is None or names.ROLLOUT not in alert.labels:
        return Outcome.NO_ROLLOUT
    if alert.labels[names.ROLLOUT] != rollout.id:
        return Outcome.OTHER_ROLLOUT
    if alert.labels.get(names.PHASE, str(rollout.phase)) != str(rollout.phase):
        return Outcome.OTHER_PHASE
    if rollout.state in (State.ROLLING_BACK, State.ROLLED_BACK) and alert.action == "rollback":
        return Outcome.JOINED
    if rollout.state is State.FINISHED and alert.action == "rollback" and WATCH_CLOSED not in rollout.recorded:
        return Outcome.ACCEPTED  # written down and told, as after a promotion; there is nothing to go back to
    if rollout.state not in RUNNING | UNFINISHED:
        return Outcome.ENDED
    return Outcome.ACCEPTED

"""What is wanted of every router, and what a reading of one says about it. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime

from alertmanager.receiver.act.confirmations import Confirmation
from canary.rollout.state import Rollout, State
from canary.routers.base import Observation, Reading, Split

# Half of the finest weight that a router knows, so that rounding is not taken for a person's hand.
_TOLERANCE_RATIO = 0.00005


# Of a weight as a ratio: the finest is 0.0001.
_DIGITS = 4

_NOBODY = Split("none", 0.0, testers=False)
"""What is wanted without a rollout, and what a rollback in doubt sets, which must be obeyed."""


def wanted_split(rollout: Rollout | None) -> Split:
    """What a rollout asks of every router; without one, everybody is on stable, whichever slot a router has for it."""
    if rollout is None:
        return _NOBODY
    # A phase of 0 % is for testers, unless somebody closed it to them; a weight that was lowered to 0 is for nobody.
    alone = rollout.running and rollout.weight == 0 and rollout.traffic[rollout.phase] == 0 and not rollout.closed
    return Split(
        rollout.id,
        rollout.weight,
        testers=rollout.running,
        testers_alone=alone,
        stable_slot=rollout.stable_slot,
    )


def lowered_at(rollout: Rollout | None) -> datetime | None:
    """When it was decided to lower the weight to what it is; None when the last decision about it was none to lower."""
    if rollout is None:
        return None
    if rollout.state in (State.FINISHING, State.FINISHED):
        # Both groups run one version, and the canary's servers are the proven side: nobody is protected by leaving.
        return None
    *_, before, last = (0.0, *(weight.ratio for weight in rollout.weights))
    closed = last == 0 and not rollout.running
    return rollout.weights[-1].since if closed or last < before else None


def lowering(rollout: Rollout | None) -> tuple[str, datetime] | None:
    """The decision to lower that is in force, as something to remember it by."""
    at = lowered_at(rollout)
    return (rollout.id, at) if rollout is not None and at is not None else None


def is_above(reading: Reading, wanted: Split) -> bool:
    """Whether an instance may have more of this rollout's customers on the canary than wanted."""
    if reading.weight_ratio is None:
        return True
    if reading.weight_ratio > 0 and reading.salt not in (None, wanted.salt):
        return False
    return not Observation((reading,)).agrees(wanted) and reading.weight_ratio >= wanted.weight_ratio


def only_lowers(observation: Observation, wanted: Split) -> bool:
    """Whether the split puts nobody on the canary who is not there by now."""
    return all(
        reading.weight_ratio is not None
        and reading.weight_ratio >= wanted.weight_ratio
        and reading.salt == wanted.salt
        and (reading.testers is None or reading.testers >= wanted.testers)
        and reading.testers_alone >= wanted.testers_alone
        for reading in observation.readings
    )


def rounded_down(weight_ratio: float, finest_ratio: float) -> float:
    """The largest weight, at most this one, that is a whole number of the finest differences."""
    # What a router reads as 3 % may be 2.9999999 %.
    steps = math.floor((weight_ratio + _TOLERANCE_RATIO) / finest_ratio)
    return round(steps * finest_ratio, _DIGITS)


def weights_since(confirmation: Confirmation | None, rollout: Rollout | None) -> tuple[float, ...]:
    """What the journal has wanted since the confirmation, that weight included; empty where nobody knows."""
    if confirmation is None or confirmation.weights is None or rollout is None:
        return ()
    return tuple(weight.ratio for weight in rollout.weights[max(confirmation.weights - 1, 0) :])


def moved_by_hand(
    observation: Observation,
    wanted: Split,
    confirmation: Confirmation | None,
    *,
    since: Sequence[float] = (),
    finishing: bool = False,
) -> float | None:
    """The weight farthest to the safe side to which somebody has moved an instance; None when nobody has.

    Somebody has when the process that is read is the one that was confirmed, for this rollout, and nothing of ours has
    been written since. The safe side is below what was confirmed; above it while a release is finished. A weight
    between those that were wanted *since* may be another receiver's doing, which died before it could go on; and what
    says that it is of another rollout is no hand's: a receiver was stopped while it lowered that one.
    """
    if confirmation is None or confirmation.writing or confirmation.split.rollout != wanted.rollout:
        return None
    bounds = (confirmation.split.weight_ratio, wanted.weight_ratio, *since)
    moved = [
        reading.weight_ratio
        for reading in observation.readings
        if reading.weight_ratio is not None
        and reading.salt in (None, wanted.salt, _NOBODY.salt)
        and reading.process
        and reading.process == confirmation.processes.get(reading.instance)
    ]
    if finishing:
        return max((ratio for ratio in moved if ratio > max(bounds) + _TOLERANCE_RATIO), default=None)
    return min((ratio for ratio in moved if ratio < min(bounds) - _TOLERANCE_RATIO), default=None)


def moved_to(
    observation: Observation, wanted: Split, confirmation: Confirmation | None, rollout: Rollout | None
) -> float | None:
    """The weight to which somebody has moved an instance and is to be obeyed; None when nobody has."""
    finishing = rollout is not None and rollout.state is State.FINISHING
    if rollout is not None and not finishing and closed_untold(observation, wanted, confirmation, rollout):
        return 0.0
    since = weights_since(confirmation, rollout)
    return moved_by_hand(observation, wanted, confirmation, since=since, finishing=finishing)


def closed_untold(observation: Observation, wanted: Split, confirmation: Confirmation | None, rollout: Rollout) -> bool:
    """Whether an instance says that it was closed for this rollout, while the journal says nothing of the kind.

    Whoever closed it could not write that down yet, or died with its files. A receiver that was confirmed at a weight
    of this rollout goes by that (`moved_by_hand`), and here only by testers who are let in no more: to them alone
    belongs a phase of 0 %, in which no weight can be lowered.
    """
    known = confirmation if confirmation is not None and confirmation.split.rollout == rollout.id else None
    if known is not None and (known.writing or not (wanted.testers_alone and known.split == wanted)):
        return False
    if not wanted.open or (not wanted.testers_alone and any(weight.ratio == 0 for weight in rollout.weights)):
        return False
    return any(
        reading.closed
        and reading.salt == wanted.salt
        and (known is None or reading.process == known.processes.get(reading.instance) != "")
        for reading in observation.readings
    )

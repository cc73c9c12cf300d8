"""Whether the journal can be what the routers were driven by; while it cannot, routers are left as they are.

"I know nothing" is not "nobody is on the canary". A journal that was lost, moved, or restored from an old copy says
that there is no rollout, or an earlier one; acted upon, that sent everybody from 100 % to 0 %, silently. What routers
show is held against it: a weight above 0 has a salt, and the salt belongs to a rollout. A router that cannot be read
may show anything.

In doubt nothing is raised and nothing is put right; the receiver is not ready, and says why. A person may always lower
(`canary rollback`), and ends the doubt by `canary adopt`, or by bringing the right journal back.
"""

from collections.abc import Callable, Iterable, Mapping

from canary.errors import PolicyError, RefusedError
from canary.policy.model import Policy
from canary.policy.routers.slots import Slot, require_kept
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore
from canary.routers.base import Observation, Reading
from canary.routers.bucket import salt_of
from canary.units import format_ratio

Observations = Mapping[str, Observation | None]
"""What each router was last read with, by name; None before it was read."""


class Trust:
    """Compares journal and routers.

    Args:
        policy: which says whether there are slots; what the routers are is read only at the start.
        observations: gives the newest of each router.
    """

    def __init__(self, policy: Policy, store: RolloutStore, observations: Callable[[], Observations]) -> None:
        self._policy = policy
        self._store = store
        self._observations = observations

    @property
    def trusted(self) -> bool:
        """Whether there is no doubt."""
        return not self.doubt

    @property
    def doubt(self) -> str:
        """Why the journal is not acted upon; empty when it is."""
        return self.doubt_given(self._observations())

    def doubt_given(self, observations: Observations) -> str:
        """As `doubt`, with what routers have just been read with."""
        return self._store.fault or self._slots_are_others() or doubt_about(observations, self._store.rollouts)

    def _slots_are_others(self) -> str:
        """A receiver that starts without its database learns only later which slot is stable."""
        try:
            require_slots(self._policy, self._store.rollout)
        except PolicyError as error:
            return f"the journal does not fit the policy: {error}"
        return ""


def require_slots(policy: Policy, rollout: Rollout | None) -> None:
    """Refuse a policy whose slots are not those of the newest rollout, as far as customers would notice.

    Raises:
        PolicyError: slot b is stable and the policy knows no slots, or a server has changed its slot.
    """
    if rollout is not None:
        require_kept(policy.router, rollout.stable_slot, rollout.slots)


def salts_of(observations: Iterable[Observation]) -> tuple[int, ...]:
    """By which the routers choose their users."""
    readings = [one for seen in observations for one in seen.readings if one.weight_ratio]
    return tuple(sorted({one.salt for one in readings if one.salt is not None}))


def recorded_slot(policy: Policy, observations: Iterable[Observation]) -> Slot | None:
    """With `router.slots`, the stable slot that the routers have recorded; None without slots.

    Raises:
        RefusedError: one router has another than the next.
    """
    if not policy.slots:
        return None
    recorded = {one.stable_slot for seen in observations for one in seen.readings if one.stable_slot is not None}
    if len(recorded) > 1:
        raise RefusedError(
            "the routers disagree about which slot is stable, and the journal does not know it",
            remedy="bring the journal back, or send everybody to one slot by hand and record it at every router",
        )
    return next(iter(recorded), "a")


def doubt_about(observations: Observations, rollouts: Mapping[str, Rollout]) -> str:
    """What speaks against these being the rollouts that the routers were driven by; empty when nothing does."""
    salts = {salt_of(rollout) for rollout in rollouts} | {salt for one in rollouts.values() for salt in one.salts}
    for name, observation in observations.items():
        if observation is None:
            if not rollouts:
                return f"the journal knows of no rollout, and router {name} has not been read yet"
            continue
        for reading in observation.readings:
            doubt = _doubt(reading, salts)
            if doubt:
                return f"the journal {doubt[0]}, and router {name} ({reading.instance}) {doubt[1]}"
    return ""


def _doubt(reading: Reading, salts: set[int]) -> tuple[str, str] | None:
    if reading.weight_ratio is None:
        return None if salts else ("knows of no rollout", f"cannot be read: {reading.error}")
    if reading.weight_ratio == 0 or reading.salt in salts or (salts and reading.salt is None):
        return None
    has = f"has {format_ratio(reading.weight_ratio)} on a canary"
    return ("does not know the rollout" if salts else "knows of no rollout", has)

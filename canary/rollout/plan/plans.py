"""The policy by which each rollout runs: pinned in the journal when it began, never looked up in a newer file.

Receiver and exporter ask here and nowhere else, so that a gate, a limit or a tolerance of a running rollout cannot come
from the file by one way and from the journal by another.
"""

from dataclasses import replace
from typing import Any, TypedDict

from canary.errors import JournalError, RefusedError
from canary.logs import Log
from canary.policy.model import Policy
from canary.policy.pinning.digest import Data, deciding, digest
from canary.policy.pinning.pinned import pinned
from canary.policy.plans import phases_of, with_plan
from canary.policy.release import Phase
from canary.rollout.state import Rollout

_KNOWN = 16
"""More rollouts than have something left to do at one time; each answer is a whole policy."""


class PlanFields(TypedDict):
    """What `Start` and `Adopt` say of the plan."""

    plan: str
    traffic: tuple[float, ...]
    durations_seconds: tuple[float, ...]
    digest: str
    policy: dict[str, Any]


def plan_of(policy: Policy, name: str) -> PlanFields:
    """What a rollout that begins now with this plan is to run by.

    Raises:
        RefusedError: the policy has no such plan.
    """
    phases = phases_of(policy, name)
    return PlanFields(
        plan=name,
        traffic=tuple(phase.traffic for phase in phases),
        durations_seconds=tuple(phase.duration for phase in phases),
        digest=digest(policy),
        policy=deciding(policy),
    )


class Plans:
    """The newest policy file, and what each rollout runs by.

    Attributes:
        file: the policy as the file has it; what the next rollout begins with. A reload replaces it.
    """

    def __init__(self, file: Policy) -> None:
        self.file = file
        self._log = Log("policy")
        # The newest answers by rollout: they are asked for at every alert and every scrape, also of earlier rollouts
        # with something left to do, and change with a start, an amendment or a reload only.
        self._known: dict[str, tuple[Policy, Data, Policy]] = {}

    def of(self, rollout: Rollout | None) -> Policy:
        """The policy with everything that decides as the rollout runs by it, its plan's phases as `phases`."""
        if rollout is None:
            return self.file
        policy = self.begun_with(rollout)
        try:
            planned = with_plan(policy, rollout.plan)
        except RefusedError:
            planned = policy
        if tuple(phase.traffic for phase in planned.phases) == rollout.traffic and rollout.pinned is not None:
            return planned
        return replace(policy, phases=_unpinned(planned, rollout))

    def phase(self, rollout: Rollout) -> Phase:
        """The phase in which the rollout is, or was last."""
        return self.of(rollout).phases[rollout.phase]

    def begun_with(self, rollout: Rollout) -> Policy:
        """The whole policy that the rollout began with, every plan in it; the file's where the journal has none."""
        if rollout.pinned is None:
            return self.file
        if (known := self._known.get(rollout.id)) is not None:
            file, data, policy = known
            if file is self.file and data is rollout.pinned:
                return policy
        try:
            policy = pinned(self.file, rollout.pinned)
        except JournalError as error:
            self._log.error("the rollout's own policy is not readable; its phases are kept", exception=error)
            policy = self.file
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[rollout.id] = (self.file, rollout.pinned, policy)
        return policy

    def digest(self, rollout: Rollout | None) -> str:
        """The digest of what a receiver goes by: of the running rollout's policy, else of the file."""
        return digest(self.file if rollout is None or not rollout.running else self.begun_with(rollout))


def _unpinned(known_by: Policy, rollout: Rollout) -> tuple[Phase, ...]:
    """The phases of a rollout whose journal says no more of them than shares and durations.

    What else they ask for is taken from the phase of the policy with the same share. Where there is none, nobody knows
    whether a person was to decide, and so one does.
    """
    known = {phase.traffic: phase for phase in known_by.phases}
    return tuple(
        replace(known[traffic], duration=duration)
        if traffic in known
        else Phase(traffic=traffic, duration=duration, gate="manual")
        for traffic, duration in zip(rollout.traffic, rollout.durations_seconds, strict=True)
    )

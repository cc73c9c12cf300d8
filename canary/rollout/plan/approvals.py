"""Who has agreed to raise a canary's weight, where one person is not enough.

A phase's gate may ask for several people. Each of them says `canary advance`, and the last one's word is the one that
is carried out. A vote counts only under a name that the person has proven (a token or password of their own), because a
name that somebody says of themselves can be said twice.

The gate of a phase guards whatever leads out of it upwards: an advance, a jump over it, a promotion. So a jump asks for
as many people as the most demanding of the gates that it passes, and the votes for one target do not count for another.
"""

from dataclasses import dataclass
from typing import Any

from canary.errors import RefusedError
from canary.policy.plans import NORMAL
from canary.rollout.state import Rollout


@dataclass(frozen=True)
class Approvals:
    """Where the agreement to one step stands.

    Attributes:
        needed: how many people must agree; 0 where nobody is asked.
        given: the names of those who have.
    """

    needed: int
    given: tuple[str, ...]

    @property
    def missing(self) -> int:
        """How many more are needed."""
        return max(0, self.needed - len(self.given))

    def __str__(self) -> str:
        given = f" ({', '.join(self.given)})" if self.given else ""
        return f"{len(self.given)} of {self.needed} approvals{given}"


def approvals(rollout: Rollout, target: int) -> Approvals:
    """What leads from the present phase to the one with the index *target* needs, and has.

    Args:
        rollout: a running one.
        target: as many as there are phases for a promotion.
    """
    passed = _phases(rollout)[rollout.phase : target]
    needed = max((_approvers(phase) for phase in passed), default=0)
    return Approvals(needed, tuple(sorted(name for name, wanted in rollout.approvals if wanted == target)))


def agreed(rollout: Rollout, target: int, approver: str) -> Approvals:
    """As `approvals`, with the agreement of one more person.

    Raises:
        RefusedError: nobody knows who they are, or they have agreed already.
    """
    found = approvals(rollout, target)
    if not found.needed:
        return found
    place = f"phase {rollout.phase + 1} needs {found.needed} people who agree"
    if not approver:
        raise RefusedError(
            "a name that is not proven counts for nobody",
            place=place,
            remedy="use a token of your own (receiver.operators), or the page under a user of the web configuration",
        )
    if approver in found.given:
        raise RefusedError(
            f"{approver} has agreed already, and counts once; {found}",
            place=place,
            remedy=f"{found.missing} more must run the same command",
        )
    return Approvals(found.needed, tuple(sorted({*found.given, approver})))


def _phases(rollout: Rollout) -> list[dict[str, Any]]:
    pinned = rollout.pinned or {}
    phases = pinned.get("phases") if rollout.plan == NORMAL else pinned.get("plans", {}).get(rollout.plan)
    return list(phases or ())


def _approvers(phase: dict[str, Any]) -> int:
    gate = phase.get("gate")
    return int(gate.get("approvers", 0)) if isinstance(gate, dict) else 0

"""The journal's lines about the plan: a policy file that has changed, an amendment, a person's agreement."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from canary.rollout.entries import Entry, Ratio, Seconds
from canary.rollout.kinds import Kind


@dataclass(frozen=True, kw_only=True)
class PolicyChanged(Entry):
    """The receiver has read another policy file; a rollout that runs keeps its own.

    Its *rollout* is the one that runs, or `policy`; its reason says what differs.

    Attributes:
        digest: of the new file.
        policy: everything that decides in it.
    """

    kind = Kind.POLICY
    digest: str
    policy: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Amended(Entry):
    """The rollout goes by another policy from here on; its reason says what differs.

    Attributes:
        phase: index of the present phase in the new plan.
        traffic, durations_seconds: the new plan's phases.
        digest, policy: as in `Started`.
        looser: the differences that make the guard looser, in words.
    """

    kind = Kind.AMENDED
    decides = True
    phase: int
    traffic: Annotated[tuple[Ratio, ...], Field(min_length=1)]
    durations_seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    digest: str
    policy: dict[str, Any]
    looser: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Approved(Entry):
    """One of several people has agreed to a step that needs more than one.

    Attributes:
        approver: who, by a name that was proven.
        target: index of the phase that they agree to; the number of phases for a promotion.
    """

    kind = Kind.APPROVED
    approver: str
    target: int

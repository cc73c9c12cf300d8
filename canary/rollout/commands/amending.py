"""Another policy for a rollout that runs: to guard its customers better at once, to guard them less with a reason.

A rollout runs by the policy that it began with, and a file that is edited meanwhile is for the next one. Where it must
hold for the running one too, a person says so, and what follows from it is written down as a decision of its own:
exporter and receiver then go by the amended policy, and the report shows what was made looser, by whom and why.

Two things cannot be amended. **Alpha**, and which KPIs share it: the promise is about the whole rollout, and whoever
raises it after having looked has promised nothing. And **a gate of several people**: one person, who may not pass it
alone, may not lower it either.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from canary.errors import RefusedError
from canary.policy.pinning.changes import Change, Effect, changes
from canary.policy.pinning.digest import Data
from canary.policy.plans import NORMAL
from canary.rollout.commands.commands import Command
from canary.rollout.commands.refusals import required
from canary.rollout.entries import Entry
from canary.rollout.plan.planentries import Amended
from canary.rollout.state import RUNNING, Rollout
from canary.units import format_ratio

_PLACE = "cannot amend"


@dataclass(frozen=True, kw_only=True)
class Amend(Command):
    """Let the running rollout go by another policy.

    Attributes:
        digest: of that policy.
        policy: everything that decides in it.
    """

    digest: str
    policy: dict[str, Any]

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:
        """Refused for what cannot be amended, and for anything looser without a reason."""
        known = required(rollout, RUNNING, "amend")
        phases = _phases(self.policy, known.plan)
        old = _pinned(known)
        if self.digest == known.digest:
            raise RefusedError(f"rollout {known.id} runs by this very policy ({self.digest})", place=_PLACE)
        _require_alpha(old, self.policy)
        phase = _same_phase(known, phases)
        differences = amended(known, old, self.policy)
        _require_approvals(known, _phases(old, known.plan), phases)
        looser = [str(change) for change in differences if change.effect is Effect.LOOSER]
        if looser and not self.reason:
            raise RefusedError(
                f"this makes the guard of a running rollout looser: {'; '.join(looser)}",
                place=_PLACE,
                remedy="say why with --reason",
            )
        said = "; ".join(map(str, differences)) or "nothing that this rollout's plan has differs"
        return Amended(
            rollout=known.id,
            at=at,
            actor=self.actor,
            reason=f"{self.reason}: {said}" if self.reason else said,
            phase=phase,
            traffic=tuple(one["traffic"] for one in phases),
            durations_seconds=tuple(one["duration"] for one in phases),
            digest=self.digest,
            policy=self.policy,
            looser=tuple(looser),
        )


def amended(rollout: Rollout, before: Data, after: Data) -> tuple[Change, ...]:
    """What differs for this rollout: of plans only its own, and of that only what is still ahead."""
    return changes(*(_ahead(rollout, data) for data in (before, after)))


def _ahead(rollout: Rollout, data: Data) -> Data:
    now = rollout.traffic[rollout.phase]
    phases = [phase for phase in _phases(data, rollout.plan) if phase["traffic"] >= now]
    return {key: value for key, value in data.items() if key != "plans"} | {"phases": phases}


def _pinned(rollout: Rollout) -> Data:
    if rollout.pinned is None:
        raise RefusedError(
            f"rollout {rollout.id} was begun by an older version, which has not written down its policy", place=_PLACE
        )
    return rollout.pinned


def _phases(policy: Data, plan: str) -> list[dict[str, Any]]:
    phases = policy["phases"] if plan == NORMAL else policy.get("plans", {}).get(plan)
    if phases is None:
        raise RefusedError(f"the new policy has no plan {plan!r}, by which the rollout runs", place=_PLACE)
    return list(phases)


def _require_alpha(before: Data, after: Data) -> None:
    """The chance of rolling a healthy canary back was promised for the whole rollout, and shared among KPIs."""
    alphas = [data["evidence"]["alpha"] for data in (before, after)]
    if alphas[0] != alphas[1]:
        was, now = map(format_ratio, alphas)
        raise RefusedError(f"evidence.alpha is {now}, expected {was} as when the rollout began", place=_PLACE)
    shared = [sorted(_sharing(data)) for data in (before, after)]
    if shared[0] != shared[1]:
        raise RefusedError(
            f"alpha is shared by {', '.join(shared[0]) or 'no KPI'}, the new policy would share it among "
            f"{', '.join(shared[1]) or 'none'}",
            place=_PLACE,
            remedy="which KPIs roll back by evidence is for the next rollout",
        )


def _sharing(data: Data) -> Iterator[str]:
    """The tests that share it: each KPI's comparison with stable, and that with its floor."""
    for name, kpi in data["kpis"].items():
        if kpi["judge"] == "evidence" and kpi["action"] == "rollback":
            yield name
            if kpi["floor"] is not None and kpi["kind"] != "mean":
                yield f"the floor of {name}"


def _same_phase(rollout: Rollout, phases: list[dict[str, Any]]) -> int:
    """The place of the present phase in the new plan: shares tell phases, because places move."""
    share = rollout.traffic[rollout.phase]
    found = next((index for index, phase in enumerate(phases) if phase["traffic"] == share), None)
    if found is None:
        raise RefusedError(
            f"the rollout is in the phase with {format_ratio(share)}, which the new plan {rollout.plan} has not",
            place=_PLACE,
            remedy="keep this phase in the plan",
        )
    return found


def _require_approvals(rollout: Rollout, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    needed = {phase["traffic"]: _approvers(phase) for phase in after}
    for phase in before[rollout.phase :]:
        if needed.get(phase["traffic"], 0) < _approvers(phase):
            raise RefusedError(
                f"the gate of the phase with {format_ratio(phase['traffic'])} asks for {_approvers(phase)} people, "
                "and one alone cannot lower it",
                place=_PLACE,
                remedy="let them agree, or roll back and restart",
            )


def _approvers(phase: dict[str, Any]) -> int:
    gate = phase.get("gate")
    return int(gate.get("approvers", 0)) if isinstance(gate, dict) else 0

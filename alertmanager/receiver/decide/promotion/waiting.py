"""Why a rollout does not go on: one reason, the first that would have to go.

People who ask get the reason that is true at the last look, and never a guess. Several things may be missing at once;
then the one is told without which the others are not even asked: a hold before the phase's time, that before a freeze,
that before what Prometheus says, and only when all of those agree a person, the user's own check, or the alert that
Alertmanager has to deliver. That alert is kept back by a silence on it, which is a reason of its own: it ends by itself
or by whoever set it, and restarting Alertmanager, which the other reason suggests, would be in vain. What else keeps it
back there, another team's inhibition or a mute time, is named with that other reason.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from alertmanager.receiver.decide.promotion.outlook import Bounds, outlook
from canary import names
from canary.errors import RemoteError
from canary.policy.model import Policy
from canary.prometheus import Alert, Sample, Silence
from canary.prometheus.service import Asked
from canary.rollout.kinds import Cause
from canary.rollout.plan.approvals import approvals
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.units import format_duration


class Reason(StrEnum):
    """What is waited for, as the label `reason` of the metric."""

    TIME = "time"
    GATE = "gate"
    SILENCE = "silence"
    FREEZE = "freeze"
    HOLD = "hold"
    EVIDENCE = "evidence"
    PROMETHEUS = "prometheus"
    ALERTMANAGER = "alertmanager"
    SERVERS = "servers"
    ROUTERS = "routers"
    PROCESS = "process"


@dataclass(frozen=True)
class Waiting:
    """What a rollout waits for.

    Attributes:
        text: the same for people, as in "waits for ...".
    """

    reason: Reason
    text: str


def held(rollout: Rollout) -> Waiting:
    """A hold, whatever has begun it."""
    ends = "it ends by itself" if rollout.lifts else "`canary resume` ends it"
    who = rollout.cause if rollout.cause and rollout.cause != Cause.MANUAL else rollout.actor
    return Waiting(Reason.HOLD, f"the end of the hold by {who} ({rollout.reason}); {ends}")


def phase_time(until: datetime) -> Waiting:
    """The phase's time, which is over at about *until*."""
    return Waiting(Reason.TIME, f"the phase's time, until {until:%Y-%m-%d %H:%M:%S} UTC")


def frozen(freeze: object) -> Waiting:
    """A change freeze, which says itself until when."""
    return Waiting(Reason.FREEZE, f"the end of the {freeze}")


def unanswered(error: RemoteError) -> Waiting:
    """Prometheus gives no answer that could be relied on."""
    return Waiting(Reason.PROMETHEUS, f"Prometheus to answer ({error})")


def objecting(alerts: Sequence[Alert]) -> Waiting:
    """Alerts that ask for less traffic."""
    return Waiting(Reason.HOLD, f"{', '.join(sorted({alert.name for alert in alerts}))} to clear")


def person(rollout: Rollout) -> Waiting:
    """A gate that people open."""
    agreement = approvals(rollout, rollout.phase + 1)
    people = f"{agreement.missing} more people to agree, {agreement}" if agreement.needed else "a person"
    return Waiting(Reason.GATE, f"{people}: `canary advance`")


def closed(objection: str) -> Waiting:
    """The user's own check, which says no."""
    return Waiting(Reason.GATE, objection)


def undelivered(silence: Silence | None, kept_back_by: str) -> Waiting:
    """Everything agrees but Alertmanager, which has not delivered the phase's alert.

    Args:
        silence: what keeps it from doing so, when that is known.
        kept_back_by: what else does, or why that is not known; empty when nothing does.
    """
    if silence is not None:
        return Waiting(Reason.SILENCE, f"the end of the {silence}, which keeps {names.PHASE_COMPLETE} back")
    why = f" ({kept_back_by})" if kept_back_by else ""
    return Waiting(Reason.ALERTMANAGER, f"Alertmanager to deliver {names.PHASE_COMPLETE}{why}")


_SAID: Final[Mapping[str | None, str]] = {
    "pass": "passes",
    "fail": "fails",
    "hold": "is not decided",
    "blind": "has no data",
}


class Evidence:
    """Asks Prometheus what the KPIs say when it does not show the phase complete."""

    def __init__(self, prometheus: Asked, plans: Plans) -> None:
        self._prometheus = prometheus
        self._plans = plans

    async def missing(self, rollout: Rollout, elapsed_seconds: float) -> Waiting:
        """Which KPIs do not agree, with what they have seen; the rules themselves when all do.

        Args:
            elapsed_seconds: how long ago the rollout began, from which is told how long its units take.
        """
        phase = f"phase {rollout.phase + 1}"
        policy = self._plans.of(rollout)
        judged = [name for name, kpi in policy.kpis.items() if kpi.judge == "evidence" and kpi.action != "warn"]
        own = f'{{{names.SERVICE}="{policy.service}",{names.ROLLOUT}="{rollout.id}"'
        try:
            verdicts = await self._prometheus.query(
                f"max by ({names.KPI}, {names.VERDICT}) ({names.KPI_VERDICT}{own}}}) == 1"
            )
            counts = await self._prometheus.query(
                f'max by ({names.KPI}) ({names.KPI_UNITS}{own},{names.ROLE}="canary"}})'
            )
        except RemoteError as error:
            return unanswered(error)
        told = [one.labels for one in verdicts if {names.KPI, names.VERDICT} <= one.labels.keys()]
        said = {labels[names.KPI]: labels[names.VERDICT] for labels in told}
        units = {kpi: int(count) for kpi, count in _by_kpi(counts).items() if math.isfinite(count)}
        proven = self._plans.phase(rollout).advance == "when_proven"
        undecided = [name for name in judged if said.get(name) == "hold"] if proven else []
        still = await self._outlooks(policy, own, undecided, elapsed_seconds)
        lacking = []
        for name in judged:
            seen = _Seen(said.get(name), units.get(name, 0), elapsed_seconds, still.get(name))
            if text := _lacks(policy, name, seen, proven=proven):
                lacking.append(text)
        if lacking:
            return Waiting(Reason.EVIDENCE, f"evidence: {'; '.join(lacking)}")
        return Waiting(Reason.PROMETHEUS, f"Prometheus to show {names.PHASE_COMPLETE} firing for {phase}")

    async def _outlooks(
        self, policy: Policy, own: str, undecided: Sequence[str], elapsed_seconds: float
    ) -> Mapping[str, str]:
        """By KPI, how long its evidence still needs, where the exporter's bounds tell."""
        wanted = (names.KPI_RELATIVE_CHANGE, names.KPI_RELATIVE_CHANGE_LOWER, names.KPI_RELATIVE_CHANGE_UPPER)
        found: list[Mapping[str, float]] = []
        try:
            for metric in wanted if undecided else ():
                samples = await self._prometheus.query(f"max by ({names.KPI}) ({metric}{own}}})")
                found.append(_by_kpi(samples))
        except RemoteError:
            return {}
        return {
            name: outlook(policy.kpis[name], Bounds(*(values.get(name, math.nan) for values in found)), elapsed_seconds)
            for name in undecided
        }


def _by_kpi(samples: Iterable[Sample]) -> Mapping[str, float]:
    return {one.labels[names.KPI]: one.value for one in samples if names.KPI in one.labels}


@dataclass(frozen=True)
class _Seen:
    """What the exporter says of one KPI, and how long its evidence still needs, for people."""

    verdict: str | None
    units: int
    elapsed_seconds: float
    still: str | None


def _lacks(policy: Policy, name: str, seen: _Seen, *, proven: bool) -> str:
    """What a KPI lacks to let the phase end; empty when nothing."""
    needed, units, verdict = policy.evidence.minimum_units, seen.units, seen.verdict
    if units < needed:
        rate = units / seen.elapsed_seconds if seen.elapsed_seconds > 0 else 0.0
        still = f", about {format_duration(round((needed - units) / rate))} more at this rate" if rate else ""
        return f"{name} has {units} canary units of {needed}{still}"
    agrees = verdict == "pass" or (verdict == "hold" and not proven)
    if agrees:
        return ""
    wanted = "must pass" if proven else "must not speak against the canary"
    when = f" ({seen.still})" if seen.still else ""
    return f"{name} {_SAID.get(verdict, 'has no verdict yet')} after {units} canary units, and {wanted}{when}"

"""Rows for advancing: every objection by itself must be enough to stay."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from canary import names
from canary.mixin.limits import gate_of
from canary.policy import Policy
from canary.policy.gates import UrlGate
from canary.policy.release import Phase
from rules.promtool.row import NEAR, Change, Row, after, exporter, receiver, says, without
from rules.promtool.table.guard import judged_kpis
from rules.promtool.table.traffic import requests_metric
from rules.promtool.world import ROLLOUT_LABELS, World


def rows(policy: Policy) -> Iterator[Row]:
    """A row per phase of the policy, and one for each other plan that the rule may meet."""
    for index, phase in enumerate(policy.phases):
        yield _complete(policy, index, phase, f"phase {index}")
    for gate in (None, "manual", UrlGate(url="http://127.0.0.1/may-go-on")):
        for advance in names.ADVANCES:
            plan = dataclasses.replace(policy.phases[0], gate=gate, advance=advance)
            yield _complete(policy, 0, plan, f"gate {gate_of(plan)}, {advance}", thorough=True)


def _complete(policy: Policy, index: int, phase: Phase, scene: str, *, thorough: bool = False) -> Row:
    enough, needed = max(1, policy.evidence.minimum_units), "pass" if phase.advance == "when_proven" else "hold"

    def lasted(seconds: float) -> Change:
        def change(world: World) -> None:
            world.phase(index, phase, seconds)
            if phase.traffic == 1:
                world.state("baking")
            for name in judged_kpis(policy):
                world.judgement(name, verdict=needed, units=enough)

        return change

    due = lasted(phase.duration)
    other = dataclasses.replace(phase, gate=None if phase.gate == "manual" else "manual")
    more: dict[str, Any] = {"dynamic": ROLLOUT_LABELS | {names.PHASE: str(index)}}
    for column, changes in (("also", _fine), ("quiet", _objections)) if thorough else ():
        more[column] = {name: after(due, change) for name, change in changes(policy, needed, other).items()}
    match = {names.GATE: "manual" if phase.gate == "manual" else ""}
    inputs, early = (names.DATABASE_UP, names.ROLLOUT_PHASE, names.ROLLOUT_PHASE_ELAPSED_SECONDS), 1 - NEAR
    return Row(scene, names.PHASE_COMPLETE, due, lasted(phase.duration * early), match=match, inputs=inputs, **more)


def _fine(policy: Policy, needed: str, _other: Phase) -> dict[str, Change]:
    """What is no objection."""
    judged, units = judged_kpis(policy), max(1, policy.evidence.minimum_units)
    found = {}
    if judged and needed == "hold":
        found["everything has passed"] = after(*(says(name, "pass", units) for name in judged))
    found["just enough units"] = after(*(says(name, needed, policy.evidence.minimum_units) for name in judged))
    # The routers take their time to follow, and are told apart from those that never do.
    waits = receiver(names.TRAFFIC_RATIO, 0.0, role="canary")
    return found | {"a hold that waits, and may never fire": waits}


def _objections(policy: Policy, needed: str, other: Phase) -> dict[str, Change]:
    found: dict[str, Change] = {
        "the rollout is held": lambda world: world.state("holding"),
        "nobody can tell the gate": without(names.ROLLOUT_GATE),
        "it is the other alert's gate": lambda world: world.phase(0, other, other.duration),
        "the database cannot be read": exporter(names.DATABASE_UP, 0),
        "an alert asks for a hold from this very evaluation on": exporter(names.SCHEMA_COMPATIBLE, 0),
    }
    if _errors_roll_back(policy):
        found["no series tells the canary's requests"] = without(requests_metric(policy.signals))
    if _memory_rolls_back(policy):
        found["a rollback that waits, and may fire in a moment"] = lambda world: world.use("memory", 0.999)
    units = max(1, policy.evidence.minimum_units)
    for name in judged_kpis(policy)[:1]:
        for verdict in ("fail", "blind", "hold") if needed == "pass" else ("fail", "blind"):
            found[f"{name} says {verdict}"] = says(name, verdict, units)
        found[f"{name} says nothing"] = without(names.KPI_VERDICT, kpi=name)
        if policy.evidence.minimum_units:
            found[f"{name} has too few units"] = says(name, needed, units - 1)
    return found


def _errors_roll_back(policy: Policy) -> bool:
    """Whether errors or response times of the canary are watched by an alert of the critical tier."""
    overrides = (policy.signals.alerts.get(alert) for alert in (names.HIGH_ERROR_RATE, names.VERY_SLOW_RESPONSE))
    watched = any(override is None or override.enabled for override in overrides)
    return policy.technical and policy.signals.critical.enabled and watched


def _memory_rolls_back(policy: Policy) -> bool:
    """Whether much memory asks for a rollback: it may be switched off, only told, or tried out."""
    critical, override = policy.signals.critical, policy.signals.alerts.get(names.HIGH_MEMORY)
    if not critical.enabled or critical.memory >= 1:
        return False
    return override is None or (override.enabled and override.action in (None, "rollback") and not override.dry_run)

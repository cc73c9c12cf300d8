"""Recipes for advancing: every objection by itself must be enough to stay."""

import dataclasses
from collections.abc import Iterator

from canary import names
from canary.mixin.limits import gate_of
from canary.policy import Policy
from canary.policy.release import Phase, UrlGate
from rules.promtool.guard import judged_kpis, says, without
from rules.promtool.recipe import Change, Recipe, after
from rules.promtool.technical import NEAR, requests_metric
from rules.promtool.world import ROLLOUT_LABELS, World


def recipes(policy: Policy) -> Iterator[Recipe]:
    """One recipe per phase of the policy, and one for each other plan that the rule may meet."""
    for index, phase in enumerate(policy.phases):
        yield _complete(policy, index, phase, f"phase {index}")
    first = policy.phases[0]
    for gate in (None, "manual", UrlGate(url="http://127.0.0.1/may-go-on")):
        for advance in names.ADVANCES:
            plan = dataclasses.replace(first, gate=gate, advance=advance)
            yield _complete(policy, 0, plan, f"gate {gate_of(plan)}, {advance}", thorough=True)


def _complete(policy: Policy, index: int, phase: Phase, scene: str, *, thorough: bool = False) -> Recipe:
    proven = phase.advance == "when_proven"

    def lasted(seconds: float) -> Change:
        def change(world: World) -> None:
            world.phase(index, phase, seconds)
            if phase.traffic == 1:
                world.state("baking")
            for name in judged_kpis(policy):
                world.judgement(name, verdict="pass" if proven else "hold", units=max(1, policy.evidence.minimum_units))

        return change

    due = lasted(phase.duration)
    return Recipe(
        scene=scene,
        alert=names.PHASE_COMPLETE,
        match={names.GATE: "manual" if phase.gate == "manual" else ""},
        dynamic=ROLLOUT_LABELS | {names.PHASE: str(index)},
        beyond=due,
        limit=lasted(phase.duration * (1 - NEAR)),
        also=dict(_no_objections(policy, due, proven=proven)) if thorough else {},
        quiet=dict(_objections(policy, due, proven=proven)) if thorough else {},
        inputs=(names.DATABASE_UP, names.ROLLOUT_PHASE, names.ROLLOUT_PHASE_ELAPSED_SECONDS),
    )


def _all(policy: Policy, verdict: str) -> Change:
    units = max(1, policy.evidence.minimum_units)
    return after(*(says(name, verdict, units) for name in judged_kpis(policy)))


def _no_objections(policy: Policy, due: Change, *, proven: bool) -> Iterator[tuple[str, Change]]:
    if judged_kpis(policy) and not proven:
        yield "everything has passed", after(due, _all(policy, "pass"))
    yield "a hold that waits, and may never fire", after(due, without(requests_metric(policy)))


def _objections(policy: Policy, due: Change, *, proven: bool) -> Iterator[tuple[str, Change]]:
    yield "the rollout is held", after(due, lambda world: world.state("holding"))
    yield "nobody can tell the gate", after(due, without(names.ROLLOUT_GATE))
    yield "the database cannot be read", after(due, lambda world: world.exporter(names.DATABASE_UP, 0))
    yield (
        "an alert asks for a hold from this very evaluation on",
        after(due, lambda world: world.exporter(names.SCHEMA_COMPATIBLE, 0)),
    )
    if policy.signals.critical.enabled and policy.signals.critical.memory < 1:
        yield "a rollback that waits, and may fire in a moment", after(due, lambda world: world.use("memory", 0.999))
    units = max(1, policy.evidence.minimum_units)
    for name in judged_kpis(policy)[:1]:
        for verdict in ("fail", "blind", *(("hold",) if proven else ())):
            yield f"{name} says {verdict}", after(due, says(name, verdict, units))
        yield f"{name} says nothing", after(due, without(names.KPI_VERDICT, kpi=name))
        if policy.evidence.minimum_units:
            few = says(name, "pass" if proven else "hold", units - 1)
            yield f"{name} has too few units", after(due, few)

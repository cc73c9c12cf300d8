"""Recipes for advancing: every objection by itself must be enough to stay."""

from collections.abc import Iterator

from canary import names
from canary.policy import Policy
from canary.policy.release import Phase
from rules.promtool.guard import judged_kpis, says, without
from rules.promtool.recipe import Change, Recipe, after
from rules.promtool.technical import NEAR
from rules.promtool.world import World


def recipes(policy: Policy) -> Iterator[Recipe]:
    """One recipe per phase."""
    for index, phase in enumerate(policy.phases):
        yield _complete(policy, index, phase)


def _complete(policy: Policy, index: int, phase: Phase) -> Recipe:
    proven = phase.advance == "when_proven"

    def lasted(seconds: float) -> Change:
        def change(world: World) -> None:
            world.receiver(names.ROLLOUT_PHASE, index)
            world.receiver(names.ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS, world.ago(seconds))
            world.traffic(phase.traffic)
            if phase.traffic == 1:
                world.state("baking")
            for name in judged_kpis(policy):
                world.judgement(name, verdict="pass" if proven else "hold", units=max(1, policy.evidence.minimum_units))

        return change

    due = lasted(phase.duration)
    return Recipe(
        scene=f"phase {index}",
        alert=names.PHASE_COMPLETE,
        match={names.PHASE: str(index)},
        beyond=due,
        limit=lasted(phase.duration * (1 - NEAR)),
        also={} if proven or not judged_kpis(policy) else {"everything has passed": after(due, _all(policy, "pass"))},
        # All phases are generated from the same lines; the first and the last stand for them.
        quiet=dict(_objections(policy, due, index, proven=proven)) if index in (0, len(policy.phases) - 1) else {},
        inputs=(names.DATABASE_UP, names.ROLLOUT_PHASE, names.ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS),
    )


def _all(policy: Policy, verdict: str) -> Change:
    units = max(1, policy.evidence.minimum_units)
    return after(*(says(name, verdict, units) for name in judged_kpis(policy)))


def _objections(policy: Policy, due: Change, index: int, *, proven: bool) -> Iterator[tuple[str, Change]]:
    yield "the rollout is held", after(due, lambda world: world.state("holding"))
    yield "another phase runs", after(due, lambda world: world.receiver(names.ROLLOUT_PHASE, index + 1))
    yield "the database cannot be read", after(due, lambda world: world.exporter(names.DATABASE_UP, 0))
    yield (
        "an alert asks for a hold",
        after(due, lambda world: world.exporter(names.SCHEMA_COMPATIBLE, 0)),
    )
    units = max(1, policy.evidence.minimum_units)
    for name in judged_kpis(policy)[:1]:
        for verdict in ("fail", "blind", *(("hold",) if proven else ())):
            yield f"{name} says {verdict}", after(due, says(name, verdict, units))
        yield f"{name} says nothing", after(due, without(names.KPI_VERDICT, kpi=name))
        if policy.evidence.minimum_units:
            few = says(name, "pass" if proven else "hold", units - 1)
            yield f"{name} has too few units", after(due, few)

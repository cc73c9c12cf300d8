"""Rows for experiments: a guardrail's harm, other proven differences, and judgements that are not to be trusted."""

from collections.abc import Iterator
from typing import Any

from canary import names
from canary.mixin.config import rules_config
from canary.policy import Policy
from rules.promtool.row import NEAR, Change, Row, after, exporter
from rules.promtool.world import World


def rows(policy: Policy) -> Iterator[Row]:
    """Every experiment that is judged, seen through its first treatment."""
    for config in rules_config(policy)["experiments"]:
        name, experiment = config["name"], policy.experiments[config["name"]]
        others = [kpi for kpi in experiment.metrics if kpi not in experiment.guardrails]
        yield from _Experiment(policy, name).rows(
            list(experiment.guardrails), others, config["mismatchThreshold"]["value"]
        )


class _Experiment:
    def __init__(self, policy: Policy, name: str) -> None:
        experiment = policy.experiments[name]
        self._treatments = [variant for variant in experiment.variants if variant != experiment.control]
        self._name = name
        self._arm = {names.EXPERIMENT: name, names.VARIANT: self._treatments[0]}

    def rows(self, guardrails: list[str], others: list[str], proven: float) -> Iterator[Row]:
        """*proven*: log10 of the evidence at which a mismatch is proven."""
        any_kpi, said, running = [*others, *guardrails][0], self._says, names.EXPERIMENT_RUNNING
        wrong, nearly_wrong = self._mismatch(proven), self._mismatch(proven * (1 - NEAR))
        for alert, kpis in ((names.EXPERIMENT_HARM, guardrails), (names.EXPERIMENT_WORSE, others)):
            for kpi in kpis[:1]:
                inputs = [names.EXPERIMENT_VERDICT, names.EXPERIMENT_GUARDRAIL, running]
                quiet = self._stopped(said(kpi, "fail"))
                yield self._row(alert, self._later(kpi, "fail"), said(kpi, "hold"), kpi, quiet=quiet, inputs=inputs)
        better, later = said(any_kpi, "pass", better=1), self._later(any_kpi, "pass", better=1)
        inputs = [names.EXPERIMENT_BETTER, running]
        also = {"the shares are not proven wrong": after(better, nearly_wrong)}
        quiet = self._stopped(better) | {"the shares are wrong": after(better, wrong)}
        more: dict[str, Any] = {"also": also, "quiet": quiet, "inputs": inputs}
        yield self._row(names.EXPERIMENT_WINNER, later, said(any_kpi, "hold"), any_kpi, **more)
        later, inputs = self._mismatch(proven, before=0.1), [names.EXPERIMENT_MISMATCH_EVIDENCE, running]
        more = {"quiet": self._stopped(wrong), "inputs": inputs}
        yield self._row(names.EXPERIMENT_MISMATCH, later, nearly_wrong, **more)
        unjudged: Change = lambda world: world.end(names.EXPERIMENT_VERDICT, experiment=self._name)  # noqa: E731
        also, quiet = {"it is not judged at all": unjudged}, self._stopped(said(any_kpi, "blind"))
        more = {"dynamic": {}, "also": also, "quiet": quiet}
        yield self._row(names.EXPERIMENT_BLIND, self._later(any_kpi, "blind"), said(any_kpi, "hold"), **more)

    def _row(self, alert: str, beyond: Change, limit: Change, kpi: str = "", **more: Any) -> Row:
        scene = f"experiment {self._name}: {'blind' if alert == names.EXPERIMENT_BLIND else alert}"
        labels = {names.VARIANT: self._treatments[0]} | ({names.KPI: kpi} if kpi else {})
        of_experiment = {"match": {names.EXPERIMENT: self._name}, "dynamic": labels, "state": ""}
        return Row(scene, alert, beyond, limit, **of_experiment | more)

    def _says(self, kpi: str, verdict: str, better: float = 0) -> Change:
        variant = self._treatments[0]
        return lambda world: world.experiment(self._name, variant, kpi, verdict=verdict, better=better)

    def _later(self, kpi: str, verdict: str, better: float = 0) -> Change:
        """Undecided before `begin`, so from then on."""

        def change(world: World) -> None:
            arm = self._arm | {names.KPI: kpi}
            for known in names.VERDICTS:
                values = world.from_begin(float(known == "hold"), float(known == verdict))
                world.exporter(names.EXPERIMENT_VERDICT, values, **arm, verdict=known)
            world.exporter(names.EXPERIMENT_BETTER, world.from_begin(0, better), **arm)

        return change

    def _mismatch(self, evidence: float, before: float | None = None) -> Change:
        return lambda world: world.exporter(
            names.EXPERIMENT_MISMATCH_EVIDENCE,
            world.from_begin(evidence if before is None else before, evidence),
            **self._arm,
        )

    def _stopped(self, change: Change) -> dict[str, Change]:
        """All treatments of an experiment end together."""
        arms = [self._arm | {names.VARIANT: variant} for variant in self._treatments]
        return {
            "the experiment was stopped": after(change, *(exporter(names.EXPERIMENT_RUNNING, 0, **arm) for arm in arms))
        }

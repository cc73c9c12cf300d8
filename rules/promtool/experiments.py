"""Recipes for experiments: a guardrail's harm, other proven differences, and judgements that are not to be trusted."""

from collections.abc import Iterator, Mapping
from typing import Any

from canary import names
from canary.mixin.config import rules_config
from canary.policy import Policy
from canary.policy.experiments import Experiment
from rules.promtool.recipe import Change, Recipe, after
from rules.promtool.technical import NEAR
from rules.promtool.values import STALE, Values, constant
from rules.promtool.world import World


def recipes(policy: Policy) -> Iterator[Recipe]:
    """Recipes for every experiment that is judged."""
    for config in rules_config(policy)["experiments"]:
        yield from _Trial(config, policy.experiments[config["name"]]).recipes()


class _Trial:
    """One experiment, seen through its first treatment."""

    def __init__(self, config: Mapping[str, Any], experiment: Experiment) -> None:
        self._name = config["name"]
        self._treatments = [variant for variant in experiment.variants if variant != experiment.control]
        self._variant = self._treatments[0]
        self._guardrails = list(experiment.guardrails)
        self._others = [kpi for kpi in experiment.metrics if kpi not in experiment.guardrails]
        self._threshold = config["mismatchThreshold"]["value"]

    def recipes(self) -> Iterator[Recipe]:
        for alert, kpis in ((names.EXPERIMENT_HARM, self._guardrails), (names.EXPERIMENT_WORSE, self._others)):
            for kpi in kpis[:1]:
                yield self._recipe(
                    alert,
                    self._later(kpi, verdict="fail"),
                    kpi,
                    quiet={"the experiment was stopped": after(self._says(kpi, verdict="fail"), self._stopped)},
                    inputs=(names.EXPERIMENT_VERDICT, names.EXPERIMENT_GUARDRAIL, names.EXPERIMENT_RUNNING),
                )
        kpi = [*self._others, *self._guardrails][0]
        better = self._says(kpi, verdict="pass", better=1)
        yield self._recipe(
            names.EXPERIMENT_WINNER,
            self._later(kpi, verdict="pass", better=1),
            kpi,
            quiet={
                "the experiment was stopped": after(better, self._stopped),
                "the shares are wrong": after(better, self._mismatch(self._threshold)),
            },
            also={"the shares are not proven wrong": after(better, self._mismatch(self._threshold * (1 - NEAR)))},
            inputs=(names.EXPERIMENT_BETTER, names.EXPERIMENT_RUNNING),
        )
        yield self._recipe(
            names.EXPERIMENT_MISMATCH,
            self._mismatch_later(self._threshold),
            limit=self._mismatch(self._threshold * (1 - NEAR)),
            quiet={"the experiment was stopped": after(self._mismatch(self._threshold), self._stopped)},
            inputs=(names.EXPERIMENT_MISMATCH_EVIDENCE, names.EXPERIMENT_RUNNING),
        )
        yield Recipe(
            scene=f"experiment {self._name}: blind",
            alert=names.EXPERIMENT_BLIND,
            match={names.EXPERIMENT: self._name},
            dynamic={},
            state="",
            beyond=self._later(kpi, verdict="blind"),
            limit=self._says(kpi, verdict="hold"),
            also={"it is not judged at all": self._gone},
            quiet={"the experiment was stopped": after(self._says(kpi, verdict="blind"), self._stopped)},
        )

    def _recipe(self, alert: str, beyond: Change, kpi: str = "", limit: Change | None = None, **more: Any) -> Recipe:
        dynamic = {names.VARIANT: self._variant} | ({names.KPI: kpi} if kpi else {})
        return Recipe(
            scene=f"experiment {self._name}: {alert}",
            alert=alert,
            match={names.EXPERIMENT: self._name},
            dynamic=dynamic,
            state="",
            beyond=beyond,
            limit=limit or self._says(kpi, verdict="hold"),
            **more,
        )

    def _says(self, kpi: str, verdict: str, better: float = 0) -> Change:
        return lambda world: world.trial(self._name, self._variant, kpi, verdict=verdict, better=better)

    def _later(self, kpi: str, verdict: str, better: float = 0) -> Change:
        """Undecided before `begin`, so from then on."""

        def change(world: World) -> None:
            arm = self._arm | {names.KPI: kpi}
            for known in names.VERDICTS:
                values = _from_begin(world, float(known == "hold"), float(known == verdict))
                world.exporter(names.EXPERIMENT_VERDICT, values, **arm, verdict=known)
            world.exporter(names.EXPERIMENT_BETTER, _from_begin(world, 0, better), **arm)

        return change

    def _mismatch(self, evidence: float) -> Change:
        return lambda world: world.exporter(names.EXPERIMENT_MISMATCH_EVIDENCE, evidence, **self._arm)

    def _mismatch_later(self, evidence: float) -> Change:
        return lambda world: world.exporter(
            names.EXPERIMENT_MISMATCH_EVIDENCE, _from_begin(world, 0.1, evidence), **self._arm
        )

    def _stopped(self, world: World) -> None:
        """All treatments of an experiment end together."""
        for variant in self._treatments:
            world.exporter(names.EXPERIMENT_RUNNING, 0, **{names.EXPERIMENT: self._name, names.VARIANT: variant})

    def _gone(self, world: World) -> None:
        """Published before `begin`, and gone from then on."""
        for (metric, labels), values in world.series.items():
            if metric == names.EXPERIMENT_VERDICT and (names.EXPERIMENT, self._name) in labels:
                values[world.begin :] = [STALE, *[None] * (world.count - world.begin - 1)]

    @property
    def _arm(self) -> dict[str, str]:
        return {names.EXPERIMENT: self._name, names.VARIANT: self._variant}


def _from_begin(world: World, before: float, then: float) -> Values:
    return constant(before, world.begin) + constant(then, world.count - world.begin)

"""Experiments as Prometheus metrics, made anew for every scrape.

They have names of their own and not the rollout's with one more label: an experiment's proven harm must never match a
rule that rolls back a release.
"""

import math
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from canary import names
from canary.names import LABELS
from exporter.evidence.judge import KpiEvidence
from exporter.judge.experiments import Arm

_NUMBERS: tuple[tuple[str, str, Callable[[Arm, KpiEvidence], float]], ...] = (
    (
        names.EXPERIMENT_RELATIVE_CHANGE,
        "Estimated relative change of the KPI, treatment against control.",
        lambda _, kpi: kpi.estimate,
    ),
    (
        names.EXPERIMENT_RELATIVE_CHANGE_LOWER,
        "Lower bound of the relative change, valid at every moment.",
        lambda _, kpi: kpi.lower,
    ),
    (
        names.EXPERIMENT_RELATIVE_CHANGE_UPPER,
        "Upper bound of the relative change, valid at every moment.",
        lambda _, kpi: kpi.upper,
    ),
    (
        names.EXPERIMENT_EVIDENCE,
        "log10 of the evidence that the treatment harms the KPI.",
        lambda _, kpi: kpi.log10_evidence,
    ),
    (
        names.EXPERIMENT_EVIDENCE_THRESHOLD,
        "log10 of the evidence at which harm is proven.",
        lambda _, kpi: kpi.log10_threshold,
    ),
    (
        names.EXPERIMENT_BETTER,
        "Whether the treatment is proven better than the control.",
        lambda arm, kpi: float(kpi.name in arm.better),
    ),
    (
        names.EXPERIMENT_GUARDRAIL,
        "Whether proven harm of the KPI stops the experiment.",
        lambda arm, kpi: float(kpi.name in arm.guardrails),
    ),
)


def experiment_metrics(service: str, arms: Sequence[Arm]) -> Iterator[Metric]:
    """Everything that is known of the experiments."""
    if not arms:
        return
    for name, text, of in _NUMBERS:
        family = _family(name, text)
        for arm in arms:
            for kpi in arm.evidence.kpis.values():
                value = of(arm, kpi)
                if not math.isnan(value):
                    family.add_metric([service, arm.experiment, arm.variant, kpi.name], float(value))
        yield family
    yield _verdicts(service, arms)
    yield from _by_role(service, arms)
    yield _mismatches(service, arms)
    running = _family(names.EXPERIMENT_RUNNING, "Whether users are assigned to the treatment.")
    for arm in arms:
        running.add_metric([service, arm.experiment, arm.variant], float(arm.running))
    yield running


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=[names.SERVICE, *LABELS[name]])


def _verdicts(service: str, arms: Sequence[Arm]) -> Metric:
    family = _family(names.EXPERIMENT_VERDICT, "What may be said about the treatment's KPI; one of them is 1.")
    for arm in arms:
        for kpi in arm.evidence.kpis.values():
            for verdict in names.VERDICTS:
                labels = [service, arm.experiment, arm.variant, kpi.name, verdict]
                family.add_metric(labels, float(kpi.verdict.value == verdict))
    return family


def _by_role(service: str, arms: Sequence[Arm]) -> Iterator[Metric]:
    """Units and values; each is told of a treatment and of the control that it is compared with."""
    units = _family(names.EXPERIMENT_UNITS, "Units that the evidence rests on, of the treatment and of its control.")
    values = _family(names.EXPERIMENT_VALUE, "The KPI since the experiment began, of the treatment and of its control.")
    for arm in arms:
        roles = {"canary": "treatment", "stable": "control"}
        for kpi in arm.evidence.kpis.values():
            base = [service, arm.experiment, arm.variant, kpi.name]
            units.add_metric([*base, "treatment"], kpi.canary_units)
            units.add_metric([*base, "control"], kpi.stable_units)
            for role, value in arm.values.get(kpi.name, {}).items():
                values.add_metric([*base, roles[role]], value)
    yield units
    yield values


def _mismatches(service: str, arms: Sequence[Arm]) -> Metric:
    family = _family(
        names.EXPERIMENT_MISMATCH_EVIDENCE,
        "log10 of the evidence that the treatment's share of visits is not its weight.",
    )
    for arm in arms:
        if arm.evidence.mismatch is not None:
            family.add_metric([service, arm.experiment, arm.variant], arm.evidence.mismatch.log10_evidence)
    return family

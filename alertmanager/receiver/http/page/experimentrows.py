"""The experiments and feature flags that the page shows, from the policy, the journal and Prometheus."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from canary import names
from canary.flags import share
from canary.policy.model import Policy
from canary.prometheus import Sample
from canary.rollout.experiments import Trial
from canary.rollout.state import Rollout


@dataclass(frozen=True)
class TreatmentRow:
    """What is known of one KPI of a treatment, against the control; None where nothing is."""

    variant: str
    kpi: str
    change: float | None = None
    lower: float | None = None
    upper: float | None = None
    evidence: float | None = None
    threshold: float | None = None
    units: float | None = None
    verdict: str = ""
    better: bool = False
    guardrail: bool = False


@dataclass(frozen=True)
class ExperimentRow:
    """One experiment.

    Attributes:
        since: when it began, or was stopped; None for one that never ran.
        weights: each variant's share of the users, the control's too.
        why: why it does not run; empty when it does.
    """

    name: str
    running: bool
    since: datetime | None
    control: str
    weights: Mapping[str, float]
    why: str = ""
    results: Sequence[TreatmentRow] = ()


@dataclass(frozen=True)
class FlagRow:
    """One feature flag.

    Attributes:
        ratio: the share of the users who get the treatment now, without those of the groups.
        follows: whether that share is the rollout's.
    """

    name: str
    enabled: bool
    ratio: float
    follows: bool
    treatment: str
    groups: Sequence[str] = ()


@dataclass(frozen=True)
class Experiments:
    """All of them.

    Attributes:
        fault: why no results are known; empty when nothing speaks against them.
    """

    experiments: Sequence[ExperimentRow] = ()
    flags: Sequence[FlagRow] = field(default_factory=tuple)
    fault: str = ""


def experiments_of(
    policy: Policy, trials: Mapping[str, Trial], rollout: Rollout | None, results: Mapping[str, Sequence[TreatmentRow]]
) -> Experiments:
    """What the policy has, as it stands.

    Args:
        results: by experiment, as `results_of` gives them.
    """
    experiments = []
    for name, experiment in policy.experiments.items():
        trial = trials.get(name)
        running = trial is not None and trial.running and experiment.enabled
        total = sum(variant.weight for variant in experiment.variants.values())
        experiments.append(
            ExperimentRow(
                name,
                running,
                None if trial is None else trial.stopped_at or trial.started_at,
                experiment.control,
                {variant: arm.weight / total for variant, arm in experiment.variants.items()},
                "" if running else trial.reason if trial is not None and trial.reason else "not begun",
                results.get(name, ()),
            )
        )
    flags = [
        FlagRow(name, flag.enabled, share(flag, rollout), flag.follow_rollout, flag.treatment, flag.groups)
        for name, flag in policy.flags.items()
    ]
    return Experiments(experiments, flags)


def expression(service: str) -> str:
    """The one question about all experiments."""
    return f'{{__name__=~"canary_experiment_.+",{names.SERVICE}="{service}"}}'


def results_of(samples: Sequence[Sample]) -> Mapping[str, Sequence[TreatmentRow]]:
    """The samples of all `canary_experiment_*` series, by experiment; one result for each treatment and KPI."""
    values: dict[tuple[str, str, str], dict[str, Any]] = {}
    for labels, value in samples:
        key = labels.get(names.EXPERIMENT, ""), labels.get(names.VARIANT, ""), labels.get(names.KPI, "")
        if not key[2] or not math.isfinite(value):
            continue
        found = values.setdefault(key, {})
        metric, role = labels.get("__name__", ""), labels.get(names.ROLE)
        if metric in _COLUMNS:
            found[_COLUMNS[metric]] = value
        elif metric in _MARKS:
            found[_MARKS[metric]] = value == 1
        elif metric == names.EXPERIMENT_UNITS and role == "treatment":
            found["units"] = value
        elif metric == names.EXPERIMENT_VERDICT and value == 1:
            found["verdict"] = labels.get(names.VERDICT, "")
    results: dict[str, list[TreatmentRow]] = {}
    for (experiment, variant, kpi), found in sorted(values.items()):
        results.setdefault(experiment, []).append(TreatmentRow(variant, kpi, **found))
    return results


_COLUMNS = {
    names.EXPERIMENT_RELATIVE_CHANGE: "change",
    names.EXPERIMENT_RELATIVE_CHANGE_LOWER: "lower",
    names.EXPERIMENT_RELATIVE_CHANGE_UPPER: "upper",
    names.EXPERIMENT_EVIDENCE: "evidence",
    names.EXPERIMENT_EVIDENCE_THRESHOLD: "threshold",
}
_MARKS = {names.EXPERIMENT_BETTER: "better", names.EXPERIMENT_GUARDRAIL: "guardrail"}

"""The report of the policy's experiments: computed from the order database, written as HTML and JSON."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from canary import extras
from canary.policy.model import Policy
from canary.report.bandplot import draw_band
from canary.report.html import figure, page, table
from canary.report.markup import Markup, tag
from canary.report.plots import svg_of
from canary.rollout.experiments import Trial
from canary.timing.times import to_text
from canary.timing.zones import moment
from canary.units import format_change
from canary.verdicts import verdict_words
from exporter.evidence.judge import KpiEvidence
from exporter.judge.experiments import Arm, JudgedExperiments, arm_policy
from exporter.source.database import Patience
from exporter.source.sources import order_sources
from exporter.study.history import History

_TITLES = ("Treatment", "KPI", "Verdict", "Control", "Treatment's", "Change", "Between", "Units", "Evidence")


@dataclass(frozen=True)
class ExperimentReport:
    """What is known of one experiment at one moment."""

    trial: Trial
    arms: tuple[Arm, ...]


async def experiment_reports(policy: Policy, trials: Mapping[str, Trial], now: datetime) -> list[ExperimentReport]:
    """Read and judge every experiment of the policy.

    Raises:
        DatabaseError: the order database cannot be read.
    """
    reports = []
    async with order_sources(policy, Patience.STUDY) as sources:
        for name, trial in trials.items():
            history = History(arm_policy(policy, policy.experiments[name]), sources)
            end = trial.stopped_at or now
            joined = await history.between(trial.started_at.timestamp(), end.timestamp())
            experiments = JudgedExperiments(policy)
            experiments.trials = {name: trial}
            arms = experiments.look(joined.rows, history.versions, end.timestamp(), {})
            reports.append(ExperimentReport(trial, arms))
    return reports


def as_json(report: ExperimentReport) -> dict[str, Any]:
    """The report as JSON-ready data; changes are ratios, what is not known is null."""
    trial = report.trial
    return {
        "experiment": trial.name,
        "running": trial.running,
        "started_at": to_text(trial.started_at),
        "stopped_at": to_text(trial.stopped_at) if trial.stopped_at else None,
        "reason": trial.reason,
        "weights": dict(trial.weights[-1].of),
        "arms": [
            {
                "variant": arm.variant,
                "control": arm.control,
                "share_mismatch": arm.evidence.mismatch is not None and arm.evidence.mismatch.verdict.value == "fail",
                "kpis": {name: _kpi_json(arm, kpi) for name, kpi in arm.evidence.kpis.items()},
            }
            for arm in report.arms
        ],
    }


def _kpi_json(arm: Arm, kpi: KpiEvidence) -> dict[str, Any]:
    values = arm.values.get(kpi.name, {})
    return {
        "verdict": kpi.verdict.value,
        "better": kpi.name in arm.better,
        "guardrail": kpi.name in arm.guardrails,
        "estimate": _known(kpi.estimate),
        "lower": _known(kpi.lower),
        "upper": _known(kpi.upper),
        "log10_evidence": kpi.log10_evidence,
        "log10_threshold": kpi.log10_threshold,
        "control_value": values.get("stable"),
        "treatment_value": values.get("canary"),
        "control_units": kpi.stable_units,
        "treatment_units": kpi.canary_units,
    }


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None


def as_html(reports: list[ExperimentReport], service: str, now: datetime, zone: str) -> str:
    """One page about all experiments, without outside references, times in the shop's zone."""
    parts = [tag("h1", f"Experiments of {service}")]
    for report in reports:
        parts += _section(report)
    return page(f"Experiments of {service}", parts, now, zone)


def _section(report: ExperimentReport) -> Iterator[Markup]:
    trial = report.trial
    yield tag("h2", trial.name)
    shares = ", ".join(f"{name} {weight:g}" for name, weight in trial.weights[-1].of.items())
    state = "running" if trial.stopped_at is None else f"stopped at {moment(trial.stopped_at)}: {trial.reason}"
    yield tag("p", f"Begun at {moment(trial.started_at)}; weights {shares}; {state}.")
    for arm in report.arms:
        if arm.evidence.mismatch is not None and arm.evidence.mismatch.verdict.value == "fail":
            text = f"{arm.variant}'s share of the visits is not its weight: do not trust this comparison."
            yield tag("p", text, class_="fault")
        for name in sorted(arm.better):
            yield tag("p", f"{arm.variant} is proven better than {arm.control} in {name.replace('_', ' ')}.")
    rows = [_cells(arm, kpi) for arm in report.arms for kpi in arm.evidence.kpis.values()]
    yield table("Each treatment against its control", _TITLES, rows)
    for arm in report.arms:
        for kpi in arm.evidence.kpis.values():
            if len(kpi.history):
                caption = f"{arm.variant}, {kpi.name.replace('_', ' ')}: change against {arm.control} with its band."
                yield figure(partial(_plot, arm, kpi), caption)


def _cells(arm: Arm, kpi: KpiEvidence) -> tuple[str, ...]:
    values = arm.values.get(kpi.name, {})
    shown = [f"{values[role]:.4g}" if role in values else "unknown" for role in ("stable", "canary")]
    bounds = f"{format_change(kpi.lower)} and {format_change(kpi.upper)}"
    return (
        arm.variant,
        kpi.name,
        verdict_words(kpi.verdict.value),
        *shown,
        format_change(kpi.estimate),
        bounds,
        f"{kpi.stable_units} / {kpi.canary_units}",
        f"{kpi.log10_evidence:.2f} of {kpi.log10_threshold:.2f}",
    )


def _plot(arm: Arm, kpi: KpiEvidence) -> str:
    extras.require("plots", "pictures")
    # matplotlib takes long to import, and only reports need it.
    from matplotlib.figure import Figure

    history = kpi.history
    drawn = Figure(figsize=(7.2, 2.4), layout="constrained")
    axes = drawn.subplots()
    times = [datetime.fromtimestamp(time, UTC) for time in history.time]
    draw_band(
        axes,
        band=(times, history.lower.tolist(), history.upper.tolist()),
        change=(times, history.estimate.tolist()),
        limit=-arm.tolerances[kpi.name],
    )
    axes.spines[["top", "right"]].set_visible(False)
    return svg_of(drawn)

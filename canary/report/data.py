"""The report as JSON, for scripts."""

import json
import math
from dataclasses import asdict

from canary.report.facts import KpiStory, Points, Report, Review
from canary.report.review.money import Band
from canary.timing.times import to_text


def json_report(report: Report) -> str:
    """The whole text. Times are ISO 8601 in UTC, shares and changes ratios, durations seconds.

    What is without bound is null, for JSON has no word for it.
    """
    data = {
        **_rollout(report),
        "phases": [
            {
                "number": phase.number,
                "traffic_ratio": phase.traffic_ratio,
                "since": to_text(phase.since),
                "seconds": (phase.until - phase.since).total_seconds(),
            }
            for phase in report.phases
        ],
        "kpis": {kpi.name: _kpi(kpi) for kpi in report.kpis},
        "alerts": [
            {"name": one.name, "action": one.action, "since": to_text(one.since), "until": to_text(one.until)}
            for one in report.alerts
        ],
        "exposed": report.exposed,
        **_review(report.review),
        **_said(report),
        "drift": [
            {
                "kpi": one.kpi,
                "releases": one.releases,
                "change": _band(one.change),
                "budget_ratio": one.budget,
                "exceeded": one.exceeded,
            }
            for one in report.drift
        ],
        "advice": list(report.advice),
        "gaps": list(report.gaps),
    }
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def _rollout(report: Report) -> dict[str, object]:
    """Which rollout, and what has become of it."""
    rollout = report.rollout
    return {
        "service": report.service,
        "rollout": rollout.id,
        "stable": rollout.stable,
        "canary": rollout.canary,
        "state": rollout.state.value,
        "cause": rollout.cause,
        "category": report.category,
        "reason": rollout.reason,
        "started_at": to_text(rollout.started_at),
        "ended_at": to_text(rollout.ended_at) if rollout.ended_at else None,
        "made_at": to_text(report.made_at),
        "summary": report.summary,
    }


def _review(review: Review) -> dict[str, object]:
    """What the shop's own series, its money and other judges say."""
    return {
        "technical": {
            one.name: {"unit": one.unit, "stable": one.stable, "canary": one.canary} for one in review.technical
        },
        "rows": [
            {
                "event": one.event,
                "fault": one.fault,
                "column": one.column,
                "stable": one.stable,
                "canary": one.canary,
                "broken": one.broken,
            }
            for one in review.rows
        ],
        "replica": None
        if review.replica is None
        else [{"event": one.event, "fault": one.fault, "rows": one.rows} for one in review.replica],
        "money": [
            {
                "currency": one.currency,
                "turnover": one.turnover,
                "lost": _band(one.lost),
                "loss_per_minute": _band(one.per_minute),
                "traffic_ratio": one.weight,
            }
            for one in review.money
        ],
        "second_opinion": [
            {"who": one.who, "rolls_back_at": to_text(one.at) if one.at else None, "why": one.why}
            for one in review.opinions
        ],
    }


def _said(report: Report) -> dict[str, object]:
    """What was decided, and what people left as notes."""
    return {
        "decisions": [
            {"kind": one.kind.value, "at": to_text(one.at), "actor": one.actor, "reason": one.reason}
            for one in report.entries
        ],
        "notes": [
            {
                "at": to_text(one.at),
                "actor": one.actor,
                "text": one.reason,
                "category": one.category.value if one.category else "",
            }
            for one in report.notes
        ],
    }


def _band(band: Band) -> dict[str, float | None]:
    return {name: end if math.isfinite(end) else None for name, end in asdict(band).items()}


def _kpi(kpi: KpiStory) -> dict[str, object]:
    return {
        "stable": kpi.stable,
        "canary": kpi.canary,
        "canary_units": kpi.units,
        "tolerance_ratio": kpi.tolerance,
        "verdict": kpi.verdict,
        "over_dispersion": kpi.over_dispersion,
        "harmed_units_estimated": kpi.harmed,
        "relative_change": _points(kpi.change),
        "relative_change_lower": _points(kpi.lower),
        "relative_change_upper": _points(kpi.upper),
    }


def _points(points: Points) -> list[list[float]]:
    """Pairs of Unix time and value."""
    return [[at, value] for at, value in points]

"""Numbers and moments as a report writes them, in every format the same."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from canary.report.facts import KpiStory, Report
from canary.report.review.money import Band, Money
from canary.report.review.opinion import Opinion
from canary.report.review.rows import ReplicaRows, RowShare
from canary.report.review.technical import Measured
from canary.rollout.entries import Advanced, Entry
from canary.rollout.plan.planentries import Amended
from canary.timing.zones import moment
from canary.units import format_change, format_duration, format_measured_ratio, format_ratio
from canary.verdicts import no_unit, verdict_words

KPI_TITLES = ("KPI", "Stable", "Canary", "Canary's units", "Change", "Band", "Verdict", "Harmed, estimated")

TECHNICAL_TITLES = ("Over the whole rollout", "Stable", "Canary")
ROWS_TITLE = "Whether both versions' rows fit together"
ROWS_TITLES = ("Largest share at any look", "Stable", "Canary", "")
DRIFT_TITLE = "What the last releases add up to"
OPINION_TITLES = ("Who", "Would have rolled back", "Why")


def lasted(since: datetime, until: datetime) -> str:
    """A duration in whole seconds."""
    return format_duration(round((until - since).total_seconds()))


def kpi_cells(kpi: KpiStory) -> tuple[str, ...]:
    """One KPI's row below `KPI_TITLES`."""
    band = (
        f"{format_change(_last(kpi.lower))} to {format_change(_last(kpi.upper))}"
        if kpi.lower and kpi.upper
        else "unknown"
    )
    return (
        kpi.name.replace("_", " "),
        _value(kpi.stable, ratio=kpi.ratio),
        _value(kpi.canary, ratio=kpi.ratio),
        "unknown" if kpi.units is None else f"{kpi.units:,.0f}",
        format_change(_last(kpi.change)),
        band,
        verdict_words(kpi.verdict) + (f" ({no_unit(kpi.over_dispersion)})" if kpi.over_dispersion else ""),
        "" if kpi.harmed is None else f"{kpi.harmed:,.0f}",
    )


def facts(report: Report) -> Iterator[tuple[str, str]]:
    """The head of a report, term and text."""
    rollout = report.rollout
    yield "Service", report.service
    yield "Rollout", rollout.id
    yield "Versions", f"{rollout.canary} (canary) against {rollout.stable} (stable)"
    yield "State", rollout.state.value.replace("_", " ")
    if rollout.cause:
        yield "Cause", f"{rollout.cause}: {rollout.reason}" if rollout.reason else rollout.cause
    if report.category:
        yield "Category", report.category
    if rollout.digest:
        yield "Plan", f"{rollout.plan}, of policy {rollout.digest}"
    for entry in report.entries:
        if isinstance(entry, Amended) and entry.looser:
            yield "Made looser", f"{moment(entry.at)} by {entry.actor}: {entry.reason}"
    yield "Began", moment(rollout.started_at)
    if rollout.passport is not None:
        for title, text in rollout.passport.lines():
            yield f"At its start, {title}", text
    yield "Ended" if rollout.ended_at else "So far", moment(report.until)
    yield "Lasted", lasted(rollout.started_at, report.until)
    yield "Highest share", format_ratio(max(phase.traffic_ratio for phase in report.phases))


def decision(entry: Entry) -> str:
    """What an entry decided: `advanced to phase 2`."""
    what = entry.label.replace("_", " ")
    return f"{what} to phase {entry.phase + 1}" if isinstance(entry, Advanced) else what


def exposure(report: Report) -> str:
    """Who was affected, in one sentence."""
    if not report.exposed:
        return "How many customers met the canary is not known."
    counts = ", ".join(f"{count:,.0f} {event}" for event, count in report.exposed.items())
    harmed = [kpi for kpi in report.kpis if kpi.harmed and kpi.verdict == "fail"]
    text = f"On the canary: {counts}."
    for kpi in harmed:
        text += f" About {kpi.harmed:,.0f} of its {kpi.units:,.0f} units of {kpi.name} fared worse than on stable."
    return text


def technical_cells(one: Measured) -> tuple[str, ...]:
    """One technical quantity's row below `TECHNICAL_TITLES`."""
    return one.name, _technical(one.stable, one.unit), _technical(one.canary, one.unit)


def faulty(rows: Sequence[RowShare]) -> list[tuple[str, ...]]:
    """Rows below `ROWS_TITLES`, of the kinds of which there were any."""
    return [
        (
            f"{one.event}, {one.column}: {one.fault}",
            _technical(one.stable, "ratio"),
            _technical(one.canary, "ratio"),
            "more than chance explains" if one.broken else "",
        )
        for one in rows
        if one.stable or one.canary
    ]


def rows_looked_at(rows: Sequence[RowShare]) -> str:
    """How many kinds of fault were looked for, and what that came to, in one sentence."""
    found = len(faulty(rows))
    return f"Looked for in {len(rows)} ways, found in {found or 'none'} of them."


def replica_told(rows: Sequence[ReplicaRows]) -> str:
    """How the replica that verdicts rested on was like its primary, in one sentence."""
    if not rows:
        return "The read replica had its primary's newest rows at every look, its lag apart."
    listed = ", ".join(f"{one.rows:,} of {one.event} {one.fault}" for one in rows)
    return f"Rows of the read replica were not as in its primary, its lag apart: {listed}."


def opinion_cells(one: Opinion) -> tuple[str, ...]:
    """One opinion's row below `OPINION_TITLES`."""
    return one.who, moment(one.at) if one.at else "no", one.why


def money(one: Money) -> Iterator[str]:
    """What it cost or brought, in two sentences."""
    lost = "cost" if one.lost.expected > 0 else "brought"
    yield (
        f"The canary's customers ordered for {one.turnover:,.2f} {one.currency}; compared with stable that {lost} "
        f"{_amount(one.lost, one.currency)}."
    )
    yield one.price[:1].upper() + one.price[1:] + "."


def _amount(band: Band, currency: str) -> str:
    """How much, without its direction, and the band in the direction of a loss."""
    return f"{abs(band.expected):,.2f} {currency} (loss between {band.lower:+,.2f} and {band.upper:+,.2f})"


def _technical(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit == "ratio":
        return format_measured_ratio(value)
    return f"{value * 1000:,.0f} ms" if unit == "seconds" else f"{value:,.0f}"


def _last(points: object) -> float | None:
    return points[-1][1] if isinstance(points, list | tuple) and points else None


def _value(value: float | None, *, ratio: bool) -> str:
    if value is None:
        return "unknown"
    return format_measured_ratio(value) if ratio else f"{value:,.2f}"

"""Experiments and feature flags: who gets what now, and what the experiments have shown."""

from collections.abc import Iterator, Sequence

from alertmanager.receiver.http.page.experimentrows import ExperimentRow, FlagRow, TreatmentRow
from alertmanager.receiver.http.page.parts.kpitable import band_cell, e_value, signed
from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.tables import Cell, Row, table
from alertmanager.receiver.http.page.parts.words import moment
from alertmanager.receiver.http.page.view import View
from canary.report.markup import Markup, join, tag
from canary.units import format_measured_ratio, format_ratio
from canary.verdicts import verdict_words

_TITLES = ("Experiment", "Treatment", "KPI", "Verdict", "Change", "Band", "e-value", "Units")


def experiments(view: View) -> Markup | None:
    """The section; none for a policy without either."""
    found = view.about.experiments
    if not found.experiments and not found.flags:
        return None
    return join(
        tag("h2", "Experiments and flags", id="experiments-title"),
        tag("p", f"No results: {found.fault}", class_="fault") if found.fault else None,
        tag("ul", *map(_experiment, found.experiments), class_="experiments") if found.experiments else None,
        _results(found.experiments),
        tag("h3", "Flags") if found.flags else None,
        tag("ul", *map(_flag, found.flags), class_="experiments") if found.flags else None,
        sources("experiments", view.status["service"], view.rollout_id),
    )


def _experiment(one: ExperimentRow) -> Markup:
    state = tag("span", "running", class_="good") if one.running else tag("span", "stopped", class_="warn")
    weights = ", ".join(f"{name} {format_measured_ratio(ratio, 0)}" for name, ratio in one.weights.items())
    since = join(" since ", moment(one.since)) if one.since else None
    why = f": {one.why}; everybody gets {one.control}" if one.why else None
    return tag("li", tag("strong", one.name), " ", state, since, why, f" ({weights})")


def _results(experiments: Sequence[ExperimentRow]) -> Markup | None:
    rows = [_result(one, result) for one in experiments for result in one.results]
    if not rows:
        return None
    caption = (
        "Change of each treatment against its control; the band holds the true change at any look. "
        "Harm is proven when the e-value reaches its threshold."
    )
    return table("experiments", caption, _TITLES, rows)


def _result(one: ExperimentRow, result: TreatmentRow) -> Row:
    said = "better" if result.better else verdict_words(result.verdict)
    kind = "pass" if result.better else result.verdict
    guardrail = tag("span", " (guardrail)", class_="quiet") if result.guardrail else None
    return (
        one.name,
        result.variant,
        join(result.kpi.replace("_", " "), guardrail),
        Cell(said, f"verdict {kind}" if kind else ""),
        signed(result.change),
        band_cell(result.change, result.lower, result.upper, 0.0),
        e_value(result.evidence, result.threshold),
        "—" if result.units is None else f"{result.units:,.0f}",
    )


def _flag(one: FlagRow) -> Markup:
    return tag("li", tag("strong", one.name), " ", join(*_about_flag(one)))


def _about_flag(one: FlagRow) -> Iterator[Markup | str]:
    if not one.enabled:
        yield tag("span", "switched off in the policy", class_="warn")
        return
    yield f"{one.treatment} for {format_ratio(one.ratio)} of the users"
    if one.follows:
        yield ", as many as are on the canary"
    if one.groups:
        yield f"; always for {', '.join(one.groups)}"

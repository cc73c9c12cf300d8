"""What is proven before it is needed: the last drill, `canary check`, and what each phase can prove, with buttons."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alertmanager.receiver.act.selfchecks import Result, SelfCheck, SelfChecks
from alertmanager.receiver.http.page.parts.sources import sources
from alertmanager.receiver.http.page.parts.tables import table
from alertmanager.receiver.http.page.parts.words import moment
from alertmanager.receiver.http.page.view import View
from canary.finding import summary
from canary.report.markup import Markup, join, tag
from canary.units import format_measured_ratio, format_ratio

Shown = Callable[[Result], Markup]

_MARKS = {"ok": "good", "skipped": "quiet", "warning": "warn", "failed": "fault"}


def proofs(view: View, checks: SelfChecks) -> Markup:
    """The section."""
    return join(
        tag("h2", "Would a rollback work, and what can be proven", id="proofs-title"),
        _drill(view),
        _block(SelfCheck.CHECK, "Check", "Looks at the policy and everything it names.", checks, _findings),
        _block(SelfCheck.PLAN, "Plan", "Says what each phase can prove from the shop's own traffic.", checks, _reaches),
        sources("proofs", view.status["service"], view.rollout_id),
    )


def _drill(view: View) -> Markup:
    drill = view.status["drill"]
    if drill is None:
        said = tag("p", "No drill has ended yet.", class_="quiet")
    else:
        word = "passed" if drill["passed"] else "failed"
        kind = "good" if drill["passed"] else "fault"
        said = tag("p", tag("strong", word, class_=kind), ", ", moment(drill["at"]), f": {drill['what']}")
    does = "A test alert takes the rollback path; moves no traffic."
    return join(tag("h3", "Drill"), said, _button("drill", "Run a drill", does))


def _block(what: SelfCheck, title: str, does: str, checks: SelfChecks, shown: Shown) -> Markup:
    result = checks.results.get(what)
    body = None
    if checks.running is what:
        body = tag("p", f"canary {what} is running.", class_="quiet")
    elif result is None:
        body = tag("p", "Not run since the receiver was started.", class_="quiet")
    elif result.fault:
        body = tag("p", result.fault, class_="fault")
    else:
        body = join(tag("p", "As of ", moment(result.at), class_="quiet"), shown(result))
    return join(tag("h3", title), body, _button(what.value, f"Run canary {what}", does))


def _button(name: str, text: str, does: str) -> Markup:
    link = tag("a", text, href=f"page/{name}", class_="button plain", aria_describedby=f"what-{name}")
    return tag("p", link, " ", tag("span", does, id=f"what-{name}", class_="quiet"), class_="run")


def _findings(result: Result) -> Markup:
    """What needs attention as a list; what is well as a number, to unfold."""
    bad = [row for row in result.rows if row.get("status") in ("failed", "warning")]
    rest = [row for row in result.rows if row not in bad]
    fold = tag("summary", f"{len(rest)} without a fault")
    return join(
        tag("p", summary([row.get("status", "") for row in result.rows])),
        tag("ul", *map(_finding, bad)) if bad else None,
        tag("details", fold, tag("ul", *map(_finding, rest)), id="check-well") if rest else None,
    )


def _finding(row: Mapping[str, Any]) -> Markup:
    status = str(row.get("status", ""))
    remedy = f"; {row['remedy']}" if row.get("remedy") else ""
    text = f" {row.get('place', '')}: {row.get('what', '')}{remedy}"
    return tag("li", tag("strong", status, class_=_MARKS.get(status, "quiet")), text)


def _reaches(result: Result) -> Markup:
    titles = ("Phase", "KPI", "Smallest harm", "with 90 % power", "Tolerance proven in", "It costs until then")
    caption = "Smallest harm: detected by the end of the phase with 50 % power."
    return table("the plan", caption, titles, map(_reach, result.rows))


def _reach(row: Mapping[str, Any]) -> Sequence[str]:
    harms = [_harm(harm) for harm in _pair(row.get("smallest_harm"))]
    minutes, units = _pair(row.get("minutes"))[0], row.get("customers")
    return (
        f"{int(row.get('phase', 0)) + 1} ({format_ratio(float(row.get('traffic', 0.0)))})",
        str(row.get("kpi", "")).replace("_", " "),
        *harms,
        "over a year" if minutes is None else f"{minutes:,.0f} min",
        "not detected" if units is None else f"{units:,.0f} units",
    )


def _harm(harm: float | None) -> str:
    return "nothing" if harm is None else format_measured_ratio(harm, 1)


def _pair(values: Any) -> Sequence[float | None]:
    return values if isinstance(values, list) and len(values) == 2 else (None, None)

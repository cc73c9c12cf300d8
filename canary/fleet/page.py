"""The list of services at `/` of a process that serves several: what is wrong comes first.

It renews itself where scripts run, and is complete without them. Nothing in it is loaded from anywhere else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from canary.report.markup import Markup, tag
from canary.web.metrics import VERSION

STYLE: Final = files("canary.fleet").joinpath("list.css").read_text(encoding="utf-8")
SCRIPT: Final = files("canary.fleet").joinpath("list.js").read_text(encoding="utf-8")

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Of everything that the list consists of."""

# States that need a person come first, then those in which customers are on a canary.
_FIRST: Final = ("Failed", "Rolling back", "Held", "Rolled back", "In progress", "All traffic, still watched")


def services_page(name: str, services: Sequence[Mapping[str, Any]]) -> str:
    """The page: one line for each service, and one for each policy that cannot be served."""
    columns = list(dict.fromkeys(key for one in services for key in one["status"] if key != "Service"))
    title = f"kpi-canary {name}: {len(services)} service{'' if len(services) == 1 else 's'}"
    troubled = sum(1 for one in services if one["fault"])
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="stylesheet", href="list.css"),
        tag("script", src="list.js", defer=True),
        tag("noscript", tag("meta", http_equiv="refresh", content="10")),
    )
    titles = ("Service", *columns)
    rows = (row for one in sorted(services, key=_urgency) for row in _rows(one, columns))
    heads = tag("tr", *(tag("th", one, scope="col", role="columnheader") for one in titles), role="row")
    table = tag(
        "table",
        tag("caption", f"{troubled} with trouble" if troubled else "None with trouble"),
        tag("thead", heads, role="rowgroup"),
        tag("tbody", *rows, role="rowgroup"),
        role="table",
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", "", id="connection", class_="quiet")),
        tag(
            "main",
            tag("div", table, class_="wide") if services else tag("p", "No policy has been found yet."),
            id="list",
        ),
        tag("footer", tag("p", f"Version {VERSION}. ", tag("a", "Metrics of all", href="metrics"))),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _urgency(one: Mapping[str, Any]) -> tuple[bool, int, str]:
    state = one["status"].get("State", "")
    return not one["fault"], _FIRST.index(state) if state in _FIRST else len(_FIRST), one["service"]


def _rows(one: Mapping[str, Any], columns: Sequence[str]) -> Iterator[Markup]:
    """What a service says of itself; what is wrong with its policy has the width of the table."""
    fault = str(one["fault"])
    if fault and not fault.startswith(one["file"]):
        fault = f"{one['file']}: {fault}"
    name = tag("a", one["service"], href=one["path"]) if one["running"] else one["service"]
    if fault:
        effect = "the policy before it stays in force" if one["running"] else "not running"
        said = tag("td", f"{effect}: {fault}", colspan=len(columns) or 1, class_="fault", role="cell")
        yield tag("tr", tag("th", name, scope="row", role="rowheader"), said, role="row")
    if one["running"]:
        cells = (_cell(column, one["status"].get(column, "")) for column in columns)
        yield tag("tr", tag("th", name, scope="row", role="rowheader"), *cells, role="row")


def _cell(column: str, text: str) -> Markup:
    kind = "none" if not text else re.sub("[^a-z]+", "-", text.lower()) if column == "State" else ""
    return tag("td", text, class_=kind or None, role="cell", data_label=column)

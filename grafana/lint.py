"""Checks generated dashboards by the rules of Grafana's dashboard-linter, and by those of this house.

`python -m grafana.lint [canary.yaml]` prints every finding with its rule, place and reason; exit status 1 when there
is one. The rules that dashboard-linter has and we have not stand in `.lint` at the root, which it reads itself, with
the reasons.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary.policy.load import load_policy
from grafana import lint_queries, lint_templating
from grafana.generate import dashboards

Dashboard = dict[str, Any]
Panel = dict[str, Any]

PANEL_TYPES = {"timeseries", "stat", "table", "state-timeline", "alertlist", "text", "row"}
"""Panels that Grafana 10.4 to 13 draw from schema version 39 without a migration."""

UNITS = {"none", "short", "percentunit", "s", "dtdhms", "reqps", "bytes"}
"""Units of Grafana's own list that the dashboards use: one that Grafana does not know is shown as the bare number."""

_SCHEMA_VERSION = 39
"""Of Grafana 10.4, the oldest that we promise to; newer ones migrate it, and an older one would not open a newer."""
_COLUMNS = 24
"""Grafana's grid has so many; a panel that reaches beyond is moved below the others."""
_QUERIED = {"timeseries", "stat", "table", "state-timeline"}
"""Panels that show what Prometheus answers; the others have no queries to be checked."""


@dataclass(frozen=True, order=True)
class Fault:
    """One fault: the rule, where, and why it is one."""

    place: str
    rule: str
    reason: str

    def __str__(self) -> str:
        """As one line for a terminal."""
        return f"{self.place}: {self.reason} ({self.rule})"


Rule = Callable[[Dashboard], Iterator[tuple[str, str]]]
"""Gives the place inside the dashboard and the reason of every fault."""


def lint(name: str, dashboard: Dashboard) -> list[Fault]:
    """Every fault of a dashboard, sorted."""
    return sorted(
        Fault(f"{name}: {place}" if place else name, rule, reason)
        for rule, check in RULES.items()
        for place, reason in check(dashboard)
    )


def panels(dashboard: Dashboard) -> Iterator[Panel]:
    """All panels but the headings."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def _uneditable(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    if dashboard.get("editable") is not False:
        yield "", "expected editable: false; changes in the browser would be lost with the next generation"


def _schema(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    if dashboard.get("schemaVersion") != _SCHEMA_VERSION:
        yield "", f"expected schemaVersion {_SCHEMA_VERSION}, found {dashboard.get('schemaVersion')}"
    if not 0 < len(dashboard.get("uid", "")) <= 40:
        yield "", f"expected a uid of up to 40 characters, found {dashboard.get('uid')!r}"


def _panel_types(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        if panel["type"] not in PANEL_TYPES:
            yield panel["title"], f"expected a panel of {', '.join(sorted(PANEL_TYPES))}, found {panel['type']}"


def _panel_datasource(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        for owner in [panel, *panel.get("targets", [])] if panel["type"] in _QUERIED else []:
            if owner.get("datasource", {}).get("uid") not in ("$datasource", "${datasource}"):
                yield panel["title"], "expected the data source ${datasource} on the panel and on every query"


def _panel_words(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield panel.get("title") or f"panel {panel.get('id')}", "expected a title and a description"


def _panel_units(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        if panel["type"] not in _QUERIED or panel["type"] == "state-timeline":
            continue
        config = panel["fieldConfig"]
        own = [prop["value"] for rule in config["overrides"] for prop in rule["properties"] if prop["id"] == "unit"]
        units = own or [config["defaults"].get("unit")]
        if not config["defaults"].get("mappings"):
            for unit in units:
                if unit not in UNITS:
                    yield panel["title"], f"expected one of Grafana's units that we use, found {unit!r}"


def _panel_targets(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        if panel["type"] in _QUERIED and not panel.get("targets"):
            yield panel["title"], "expected at least one query"
        letters = Counter(target.get("refId") for target in panel.get("targets", []))
        for letter, count in letters.items():
            if count > 1 or not letter:
                yield panel["title"], f"expected every query to have a refId of its own, found {letter!r} {count} times"


def _panel_empty(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        if panel["type"] != "text" and not panel["fieldConfig"]["defaults"].get("noValue"):
            yield panel["title"], "expected noValue: an empty panel must say why it is empty"


def _layout(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > _COLUMNS:
            yield panel["title"], f"reaches beyond column {_COLUMNS}"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                if other != panel["title"]:
                    yield panel["title"], f"lies upon {other!r}"
                    return
    for number, count in Counter(panel["id"] for panel in dashboard["panels"]).items():
        if count > 1:
            yield "", f"panel id {number} is used {count} times; titles must differ"


RULES: dict[str, Rule] = {
    "uneditable-dashboard": _uneditable,
    "house-schema-rule": _schema,
    "house-panel-type-rule": _panel_types,
    "house-empty-panel-rule": _panel_empty,
    "house-layout-rule": _layout,
    "panel-datasource-rule": _panel_datasource,
    "panel-title-description-rule": _panel_words,
    "panel-units-rule": _panel_units,
    "panel-no-targets-rule": _panel_targets,
    **lint_templating.RULES,
    **lint_queries.RULES,
}


def main(arguments: list[str]) -> int:
    """Lint the dashboards of a policy."""
    policy = load_policy(Path(arguments[0] if arguments else "canary.yaml"))
    found = [finding for name, text in dashboards(policy).items() for finding in lint(name, json.loads(text))]
    sys.stdout.writelines(f"{finding}\n" for finding in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

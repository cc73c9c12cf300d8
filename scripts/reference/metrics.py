"""docs/reference-metrics.md, from the source text: wherever a metric's name is followed by its help text.

A running exporter would only show the series that exist in the state in which it is.
"""

import ast
import itertools
from collections.abc import Sequence
from pathlib import Path

from canary import names
from scripts.reference.cells import cell
from scripts.reference.commands import MADE

ROOT = Path(__file__).resolve().parents[2]

_METRICS_HEAD = f"""\
# Metrics reference

{MADE}

Every series carries the label `service`. Values that are no longer known are absent, never stale.

## The shop's, from the order database

| series | kind | labels | meaning |
|---|---|---|---|
| `shop_EVENT_total` | counter | `version`, of payments `outcome` | rows of the event since `database.since` |
| `shop_EVENT_value_total` | counter | `version`, `currency` | sum of the rows' values |
| `shop_KPI` | gauge | `version`, of amounts `currency` | the KPI of the units in the last `database.window` |

The events are `visits`, `carts`, `checkouts`, `orders`, `payments`, `feedback`, and your own.
"""

_SOURCES = (("Exporter", "exporter"), ("Receiver", "alertmanager"), ("Both", "canary"))


def metrics_page() -> str:
    """Every series that exporter and receiver publish, with its labels and its help text."""
    lines = [_METRICS_HEAD]
    for title, package in _SOURCES:
        lines += [f"## {title}", "", "| series | kind | labels | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{name}` | {kind} | {_labels(name)} | {cell(text)} |"
            for name, (kind, text) in sorted(published(package).items())
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _labels(name: str) -> str:
    return ", ".join(f"`{label}`" for label in names.LABELS.get(name, ())) or "none"


def published(package: str) -> dict[str, tuple[str, str]]:
    """Kind and help text of every series that a package's code makes, wherever a name is followed by its text."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
        for node in ast.walk(tree):
            parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
            for name, following in itertools.pairwise(parts):
                if (series := _series(name)) and (text := text_of(following, texts)):
                    histogram = isinstance(node, ast.Call) and ast.unparse(node.func) == "Histogram"
                    kind = "histogram" if histogram else "counter" if series.endswith("_total") else "gauge"
                    found[series] = kind, text
    return found


def text_of(node: ast.expr, assignments: Sequence[ast.Assign]) -> str:
    """A text as it is written there, with metrics' names in it, or in the variable's last assignment before."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                (_series(part) or "") if isinstance(part, ast.FormattedValue) else text_of(part, ()) for part in parts
            )
        case ast.Name(id=variable):
            before = [
                one for one in assignments if one.lineno < node.lineno and ast.unparse(one.targets[0]) == variable
            ]
            return text_of(max(before, key=lambda one: one.lineno).value, ()) if before else ""
        case _:
            return ""


def _series(node: ast.expr) -> str | None:
    """The metric that `names.SOMETHING`, or `names.SOMETHING` without its suffix, stands for."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "names":
            value = getattr(names, inner.attr, None)
            if isinstance(value, str) and value.startswith("canary_"):
                return value
    return None

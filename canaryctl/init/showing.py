"""What `canary init` shows of a database before it writes: people see at once whether their shop was understood."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from canaryctl.init.draft import Draft
from canaryctl.init.reading import SAMPLE_ROWS

Rows = dict[str, list[list[Any]]]
"""Sampled rows of each event: id, moment, value, and the ids of those it comes from."""


def show_draft(console: Console, found: Draft, zone: str) -> None:
    """The mapping with sampled rows by version, or the platform with its notes; the zone of times without one."""
    _show_mapping(console, found)
    console.print(Text(f"Times without a zone are read in {zone}."))


def _show_mapping(console: Console, found: Draft) -> None:
    if found.platform is not None:
        console.print(Text(f"{found.platform.title}, tables with the prefix {found.prefix!r}", style="bold"))
        for note in found.platform.notes:
            console.print(Text(f"  {note}"))
        for kpi, why in found.platform.impossible.items():
            console.print(Text(f"  not possible: {kpi}: {why}", style="yellow"))
        if found.unread is not None:
            told = f"  not known: {found.platform.told}; this user cannot read {found.unread}, which says it"
            console.print(Text(told, style="yellow"))
        return
    console.print(Text(found.origin, style="bold"))
    table = Table(box=None, header_style="bold")
    for title in ("event", "table", "columns", f"first {SAMPLE_ROWS} rows by version"):
        table.add_column(title)
    for one in found.proposed:
        keys = {key: value for key, value in one.keys.items() if value is not None}
        rows = ", ".join(f"{version}: {count}" for version, count in sorted(found.versions[one.event].items()))
        missing = "no version column" if one.keys["version"] is None else "none"
        shown = json.dumps(keys).replace('"', "")[1:-1]
        table.add_row(one.event, one.table, Text(shown), Text(rows or missing))  # what stands in brackets is no markup
    console.print(table)


def show_rows(console: Console, rows: Rows) -> None:
    """The newest rows of each event, their times in UTC."""
    table = Table(box=None, header_style="bold")
    for title in ("newest rows of", "id", "time (UTC)", "value", "comes from"):
        table.add_column(title)
    for event, newest in rows.items():
        for row in newest or [["none", None, None]]:
            identity, moment, value, *parents = row
            table.add_row(event, *(Text(_shown(one)) for one in (identity, _time(moment), value, _listed(parents))))
    console.print(table)


def _listed(parents: Sequence[Any]) -> str:
    return ", ".join(_shown(parent) for parent in parents)


def _time(moment: Any) -> str:
    try:
        return f"{datetime.fromtimestamp(float(moment), UTC):%Y-%m-%d %H:%M:%S}"
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


def _shown(value: Any) -> str:
    """A value on one line; keys of sixteen bytes by their digits."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return "" if value is None else str(value).replace("\n", " ")[:40]

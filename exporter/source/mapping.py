"""How the policy's events hang together: their columns, and which event's rows come from which.

Parents matter because a row counts for the version of the *visit* it descends from: a customer who is moved to the
canary between visit and payment must not count for it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from canary.policy.database.section import DEFAULT_EVENTS, Event
from canary.policy.kpis import events_of
from canary.policy.model import Policy

_PIECES = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<end>[\s;]+)"""
    r"""|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|(?P<tag>\$\w*\$).*?(?P=tag)|.""",
    re.DOTALL,
)
"""What an SQL statement consists of, as far as it takes to tell its own end from one in a text."""


def literal_sql(sql: str) -> sa.TextClause:
    """An event's own SELECT as it is, to be put in brackets.

    Nothing in it is a parameter: the colons of JSON and of casts stay what they are. What ends the statement (blanks,
    semicolons, comments) is left out, as a comment would swallow the bracket that follows.
    """
    end = 0
    for piece in _PIECES.finditer(sql):
        if piece["comment"] is None and piece["end"] is None:
            end = piece.end()
    # MySQL knows a third kind of comment (`#`), which elsewhere is an operator; it ends with the line.
    return sa.text(sql[:end].replace(":", "\\:") + "\n")


def columns_of(event: Event, segment: str | None = None) -> set[str]:
    """Every column that an event's mapping names, and the one that a KPI's `by` names of it (*segment*)."""
    optional = (
        event.version, event.unit, event.tag, event.value, event.currency, event.outcome, event.settled, event.variant,
        segment,
    )  # fmt: skip
    parents = [event.parent] if isinstance(event.parent, str) else list((event.parent or {}).values())
    return {event.id, event.time, *filter(None, optional), *parents, *event.exclude}


def selectable(columns: Iterable[str], *, table: str | None, sql: str | None, name: str) -> sa.FromClause:
    """A mapped table, or an own SELECT in brackets, with the columns that are read of it, under a name of its own."""
    named: list[sa.ColumnClause[Any]] = [sa.column(column) for column in sorted(columns)]
    if sql is not None:
        return literal_sql(sql).columns(*named).subquery(name)
    schema, _, bare = (table or "").rpartition(".")
    return sa.table(bare, *named, schema=schema or None).alias(name)


def spare_tables(policy: Policy) -> set[str]:
    """Tables of the default schema that nobody mapped and no KPI needs: where there is none, nothing is missing."""
    needed = {event for kpi in policy.kpis.values() for event in events_of(kpi)}
    spare: set[str] = set()
    wanted = {required.table for required in policy.database.required}
    for name, event in policy.database.events.items():
        is_spare = name not in needed and event == DEFAULT_EVENTS.get(name)
        (spare if is_spare else wanted).add(event.table or name)
    return spare - wanted


def with_ancestors(events: Mapping[str, Event], names: Iterable[str]) -> set[str]:
    """The events of these names that are mapped, and all that their rows descend from."""
    open_ = list(names)
    found: set[str] = set()
    while open_:
        name = open_.pop()
        if name in events and name not in found:
            found.add(name)
            open_ += [parent for parent, _ in parents_of(events, name)]
    return found


def ordered(events: Mapping[str, Event]) -> list[str]:
    """Event names, parents first; the order of the policy otherwise."""
    done: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in done or name in path or name not in events:
            return
        for parent, _ in parents_of(events, name):
            visit(parent, (*path, name))
        done.append(name)

    for name in events:
        visit(name, ())
    return done


def parents_of(events: Mapping[str, Event], name: str) -> list[tuple[str, str]]:
    """Parent events of an event with the columns that name them.

    A single column says its event by its name: `visit_id` names a row of `visits`.
    """
    parent = events[name].parent
    if parent is None:
        return []
    if isinstance(parent, str):
        stem = parent.removesuffix("_id")
        return [(event, parent) for event in (f"{stem}s", stem) if event in events][:1] or [("", parent)]
    return list(parent.items())

"""`canary check --data`: what only the rows of the order database can tell about a mapping.

A mapping can fit every table and still be wrong: times in another zone than is said, ids that a join repeats, an
outcome that nobody named, a `settled` that every later change moves. None of it is an error to a database; the numbers
are merely wrong. So the newest rows of each event are looked at for it, and the plan is asked by which the database
would find the newest ones.

Each finding stands at the line of the policy that it is about.
"""

import itertools
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence

from canary.errors import DatabaseError, DatabaseUnavailableError
from canary.finding import Finding, failed, ok, warning
from canary.policy import Policy
from canary.policy.database.section import Event
from canary.policy.reading.document import Document, Location
from canary.timing.clock import Clock
from canary.units import format_duration, format_ratio
from canaryctl.check.shop.consistency import worse_versions
from canaryctl.check.shop.customers import nameless
from canaryctl.check.shop.floors import near_floors
from canaryctl.check.shop.plans import expensive
from exporter.source.columns.values import id_number
from exporter.source.consistency.faults import KnownIds, known_ids, row_faults
from exporter.source.consistency.newest import (
    FARTHEST_ZONE_SECONDS,
    FIRST_PARENT,
    ID,
    NEWEST,
    OUTCOME,
    VERSION,
    NewestRows,
    Where,
    newest_rows,
    shown,
)
from exporter.source.database import Session
from exporter.source.dialects import Dialect
from exporter.source.mapping import parents_of
from exporter.source.streams import fitted, streams_of

_AHEAD_SECONDS = 600
"""A shop's clock may be ahead of ours; what is further ahead is in another zone, or no time of an event."""
_QUIET = 10
"""A pause so many times as long as those between the newest rows is no quiet minute."""
_OLD_SECONDS = 7 * 86400
"""A shop without an event for a week is closed, or this is a copy of it."""
_MOST_VERSIONS = 20
"""More of them among the newest rows, and the column is no version of the shop."""
_FEW = 20
"""Of fewer rows no share is told."""
_UNFOUND = 0.1
_UNKNOWN_OUTCOMES = 0.05
_CHANGED = 0.1
"""Shares from which on it is no accident any more."""


async def check_data(
    policy: Policy, session: Session, clock: Clock, document: Document | None, left_out: Collection[str] = ()
) -> list[Finding]:
    """What is odd about the newest rows of each event; one line that says what was seen where nothing is.

    Args:
        document: the policy's file, for the lines in it.
        left_out: events that are known to be faulty.

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    where = places(document)
    now = clock.now().timestamp()
    looked: dict[str, NewestRows] = {}
    findings: list[Finding] = []
    for name, event in policy.database.events.items():
        if name in left_out:
            continue
        try:
            looked[name] = one = await newest_rows(policy, session, name, event, where, now)
        except DatabaseUnavailableError:
            raise
        except DatabaseError as error:
            remedy = error.remedy or "try the statement in the database's own client"
            findings.append(failed(where(("database", "events", name)), error.what, remedy))
            continue
        odd = list(_odd(policy, one, now))
        findings += odd or [ok(where(("database", "events", name)), _seen(one, now))]
    there = await known_ids(policy, session, looked)
    findings += _joined(policy, looked, there)
    findings += worse_versions(row_faults(policy, looked, there, now), policy.evidence.alpha)
    findings += [finding async for finding in _planned(policy, session, looked, now)]
    return findings


def places(document: Document | None) -> Where:
    """Says where keys are in the policy's file; where there is none, their names."""

    def place(location: Location) -> str:
        return ".".join(map(str, location)) if document is None else document.fault(location, "").place

    return place


def _odd(policy: Policy, one: NewestRows, now: float) -> Iterator[Finding]:
    if one.stumbled:
        remedy = "the exporter leaves out such a value and reads on, with more work for each row: repair the row"
        yield warning(one.where(("database", "events", one.name)), one.stumbled, remedy)
    if not one.rows:
        yield warning(one.at("table"), "there are no rows", "see that this is the table in use")
        return
    yield from _times(policy, one, now)
    yield from _ids(one)
    yield from _outcomes(policy, one, now)
    yield from _settled(policy, one)
    yield from _versions(policy, one)
    yield from nameless(one)


def _times(policy: Policy, one: NewestRows, now: float) -> Iterator[Finding]:
    """Whether the times are recent, plausible and in the zone that is said."""
    if not one.moments:
        return
    newest = max(one.moments)
    column, zone = one.event.time, policy.database.timezone
    if newest > now + _AHEAD_SECONDS:
        ahead = newest - now
        if ahead > FARTHEST_ZONE_SECONDS:
            what = f"{column} of the newest row is {_lasting(ahead)} ahead: it is no time at which something happened"
            yield warning(one.at("time"), what, "name the column that is written once, when the row comes to be")
        else:
            what = f"{column} of the newest row is {_lasting(ahead)} ahead: the shop's times are not in {zone}"
            yield warning(one.at("time"), what, "say the shop's own zone in database.timezone, such as Europe/Berlin")
        return
    pause = now - newest
    if pause > _OLD_SECONDS:
        what = f"the newest row is {_lasting(pause)} old"
        yield warning(one.at("time"), what, "see that this is the table and the time column in use")
    elif (gap := _gap(one.moments)) is not None and 1_700 < pause < FARTHEST_ZONE_SECONDS and pause > _QUIET * gap:
        what = f"the newest row is {_lasting(pause)} old, and one came every {_lasting(gap)} before that"
        remedy = f"if the shop is open, its times are not in {zone}: say its own zone in database.timezone"
        yield warning(one.at("time"), what, remedy)
    if len(one.moments) >= _FEW and all(moment % 86_400 == one.moments[0] % 86_400 for moment in one.moments):
        what = f"{column} holds days without a time: rows of one day cannot be told apart"
        yield warning(one.at("time"), what, "name a column with the time of day, or join one with `sql`")


def _gap(moments: Sequence[float]) -> float | None:
    """The usual pause between two of the newest rows; None where there are too few to tell."""
    ordered = sorted(moments)
    gaps = [later - earlier for earlier, later in itertools.pairwise(ordered)]
    return max(1.0, statistics.median(gaps)) if len(gaps) >= _FEW else None


def _ids(one: NewestRows) -> Iterator[Finding]:
    if unnamed := sum(row[ID] is None for row in one.rows):
        what = f"{unnamed} of the newest {len(one.rows)} rows have no {one.event.id}"
        yield failed(one.at("id"), what, "name a column that every row has: what comes from these rows is not found")
    counted = Counter(id_number(row[ID]) for row in one.rows if row[ID] is not None)
    if repeated := sum(count > 1 for count in counted.values()):
        what = f"{repeated} of the newest {len(one.rows)} rows' ids ({one.event.id}) are there more than once"
        remedy = "name the column that is unique; where `sql` joins, join one row only: each repeats what is counted"
        yield failed(one.at("id"), what, remedy)


def _outcomes(policy: Policy, one: NewestRows, now: float) -> Iterator[Finding]:
    """Whether every outcome is in a class, but for those of rows that are still young."""
    event = one.event
    if event.outcome is None:
        return
    named = {*event.succeeded, *event.failed, *event.pending}
    patience = policy.evidence.pending_timeout
    old = [
        "NULL" if row[OUTCOME] is None else shown(row[OUTCOME])
        for row, moment in zip(one.rows, one.moments, strict=True)
        if now - moment > patience
    ]
    unnamed = Counter(outcome for outcome in old if outcome not in named)
    if len(old) >= _FEW and unnamed.total() > _UNKNOWN_OUTCOMES * len(old):
        listed = ", ".join(f"{outcome} ({count})" for outcome, count in unnamed.most_common(5))
        what = f"{_share(unnamed.total(), old)} of the outcomes are in no class: {listed}"
        limit = format_duration(patience)
        yield warning(
            one.at("outcome"), what, f"say them in succeeded, failed or pending; as it is they fail after {limit}"
        )
    if any(outcome not in event.pending for outcome in old) and not {*old} & {*event.succeeded}:
        seen = ", ".join(sorted({*old})[:8])
        what = f"no outcome of the newest rows is a success; there are {seen}"
        yield failed(one.at("succeeded"), what, "name those that are: a payment success rate of 0 would be published")
    else:
        yield from near_floors(policy, one, old)


def _settled(policy: Policy, one: NewestRows) -> Iterator[Finding]:
    """Whether the time of the outcome stays: a row that is touched again would be settled again, or too late."""
    if one.event.settled is None:
        return
    pairs = [(moment, settled) for moment, settled in zip(one.moments, one.settled, strict=True) if settled is not None]
    late = [settled for moment, settled in pairs if settled - moment > policy.evidence.pending_timeout]
    early = [settled for moment, settled in pairs if settled < moment - 1]
    column = one.event.settled
    if len(pairs) >= _FEW and len(early) > _CHANGED * len(pairs):
        what = f"{column} is before {one.event.time} in {_share(len(early), pairs)} of the newest rows"
        yield warning(
            one.at("settled"), what, "leave `settled` out, or name the time at which the outcome became final"
        )
    elif len(pairs) >= _FEW and len(late) > _CHANGED * len(pairs) and not one.event.pending:
        what = f"{_share(len(late), pairs)} of the rows were settled late by {column}: later changes move it"
        yield warning(one.at("settled"), what, "leave `settled` out: the outcome alone is found up to a minute later")


def _versions(policy: Policy, one: NewestRows) -> Iterator[Finding]:
    """Whether the versions are versions of the shop, and known of enough rows for a rollout not to be held."""
    unknown, limit = sum(row[VERSION] is None for row in one.rows), policy.evidence.unknown
    if len(one.rows) >= _FEW and unknown > limit * len(one.rows):
        share = _share(unknown, one.rows)
        what = f"{share} of the newest {len(one.rows)} rows name no version, expected at most {format_ratio(limit)}"
        remedy = "map `version`, or `database.assignments`; such rows are in no verdict, and so many hold a rollout"
        yield warning(one.at("version"), what, remedy)
    versions = {shown(row[VERSION]) for row in one.rows if row[VERSION] is not None}
    if len(versions) > _MOST_VERSIONS:
        what = f"{len(versions)} versions in {len(one.rows)} rows: {one.event.version} is no version of the shop"
        yield warning(
            one.at("version"), what, "name the shop's version; where no column says it, write `version: null`"
        )


def _seen(one: NewestRows, now: float) -> str:
    """What was looked at, where nothing was odd about it."""
    versions = Counter("unknown" if row[VERSION] is None else shown(row[VERSION]) for row in one.rows)
    listed = ", ".join(f"{version} ({count})" for version, count in versions.most_common(5))
    age = _lasting(max(0.0, now - max(one.moments))) if one.moments else "no time"
    text = f"newest {len(one.rows)} rows: the last {age} ago, versions {listed}"
    if one.event.outcome is None:
        return text
    classes = Counter(_class(one.event, row[OUTCOME]) for row in one.rows)
    return text + ", outcomes " + ", ".join(f"{name} ({count})" for name, count in classes.most_common())


def _class(event: Event, outcome: object) -> str:
    text = None if outcome is None else shown(outcome)
    for name, values in (("succeeded", event.succeeded), ("failed", event.failed), ("pending", event.pending)):
        if text in values:
            return name
    return "unknown"


def _joined(policy: Policy, looked: dict[str, NewestRows], there: dict[str, KnownIds]) -> Iterator[Finding]:
    """Whether the newest rows find the rows that they come from; that none does, `canary check` says by itself."""
    for name, one in looked.items():
        for number, (parent, column) in enumerate(parents_of(policy.database.events, name), FIRST_PARENT):
            named = [row[number] for row in one.rows if row[number] is not None]
            if parent not in there or len(named) < _FEW:
                continue
            unfound = sum(there[parent].lacks(key) is True for key in named)
            if unfound == len(named) or unfound <= _UNFOUND * len(named):
                continue
            share = _share(unfound, named)
            what = f"{share} of the newest rows name a row of {parent} ({column}) that is not there"
            remedy = f"see what {parent} leaves out: these rows count for nobody's conversion"
            yield warning(one.at("parent"), what, remedy)


async def _planned(
    policy: Policy, session: Session, looked: dict[str, NewestRows], now: float
) -> AsyncIterator[Finding]:
    """Whether the newest rows are found by an index, of own SELECTs and of all that is looked up for a row."""
    for stream in streams_of(policy, Dialect(session.dialect_name)):
        if stream.event not in looked or not stream.fresh:
            continue
        one = looked[stream.event]
        if one.event.sql is None and one.event.version is not None:
            continue
        if session.dialect_name == "sqlite" and len(one.rows) < NEWEST:  # it reads small tables whole, and says so
            continue
        try:
            why = await expensive(session, await fitted(stream, session), now)
        except DatabaseUnavailableError:
            raise
        except DatabaseError as error:
            yield failed(one.at("sql"), error.what, error.remedy or "give both columns of each look-up one type")
            continue
        if why:
            remedy = (
                "give an index to the time, and to what is looked up; write times as the bare column, in no expression"
            )
            yield warning(one.at("sql"), f"{why}; the exporter asks this every second", remedy)


def _share(count: int, of: Collection[object]) -> str:
    return format_ratio(round(count / len(of), 3))


def _lasting(seconds: float) -> str:
    return format_duration(float(round(seconds) if seconds < 120 else round(seconds / 60) * 60))

"""The newest rows of an event, as the exporter will read them.

They are looked for by their time within bounds, as an index can serve it; only where nothing is found there, by their
id, for a shop whose times are in another zone or unit than is said has rows, and none within any bounds.
"""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from canary.errors import DatabaseError, DatabaseTimeoutError, DatabaseUnavailableError
from canary.policy import Policy
from canary.policy.database.section import Event
from canary.policy.reading.document import Location
from exporter.source.columns.zones import Zone
from exporter.source.database import Row, Session
from exporter.source.dialects import FARTHEST_OFFSET_SECONDS, Dialect
from exporter.source.sources import rows_apart
from exporter.source.statements import Statements
from exporter.source.streams import Stream, fitted, kinds_read, streams_of

NEWEST = 1_000
"""Rows that are looked at: enough for a share of one in a hundred to be seen, and read within a second."""
FARTHEST_ZONE_SECONDS = 14 * 3600
"""The zone that is furthest ahead of UTC."""
_BACK_SECONDS = 90 * 86400
"""So far back the newest rows are looked for by their time."""

_COMPUTED = "computed"
"""Shown for the version of a row whose customer's, or side's, version the journal or the router's log tells."""

ID, MOMENT, VALUE, OUTCOME, SETTLED, VERSION, UNIT, FIRST_PARENT = range(8)
"""Columns of `Statements.look`."""

Where = Callable[[Location], str]
"""Says where in the policy's file a key is."""


@dataclass(frozen=True)
class NewestRows:
    """One event, and its newest rows; moments in seconds since the epoch.

    Attributes:
        stumbled: what could not be read of some row, so that each value was looked at; empty where nothing was.
        complete: whether these are all rows there are within the bounds, and not only the newest of them.
    """

    name: str
    event: Event
    rows: Sequence[Row]
    moments: Sequence[float]
    settled: Sequence[float | None]
    where: Where
    stumbled: str
    complete: bool

    def at(self, key: str) -> str:
        """The line of one of the event's keys."""
        return self.where(("database", "events", self.name, key))


def shown(value: object) -> str:
    """A version or an outcome as text; a driver may hand it over as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


async def newest_rows(
    policy: Policy,
    session: Session,
    name: str,
    event: Event,
    where: Where,
    now: float,
    *,
    since: float | None = None,
    until: float | None = None,
    most: int = NEWEST,
) -> NewestRows:
    """The newest rows of an event.

    Args:
        since: none from before this moment; None where any rows will do, however old.
        until: none from this moment on; None where those ahead of *now* are wanted too.
        most: how many, at most.

    Raises:
        DatabaseError: they cannot be read.
    """
    stream = await first_stream(policy, session, name)
    # Times may be stored in any zone here; those that are too early are left out below.
    clock_zone = Zone(policy.database.timezone, stream.dialect)
    entered = clock_zone.of(instants=stream.entered_instants)
    settled = clock_zone.of(instants=stream.instants)
    begin = now - _BACK_SECONDS if since is None else since - FARTHEST_ZONE_SECONDS
    end = now + FARTHEST_ZONE_SECONDS if until is None else math.ceil(entered.ahead(until))
    bounds = stream.dialect.parameters(int(begin), int(end), FARTHEST_OFFSET_SECONDS)
    rows, stumbled = await _rows(policy, session, stream, {**bounds, "count": most}, anyhow=since is None)
    dated = [(row, entered.moment(float(row[MOMENT]))) for row in rows]
    first, last = -math.inf if since is None else since, math.inf if until is None else until
    complete = len(rows) < most or any(moment < first for _, moment in dated)
    dated = [(row, moment) for row, moment in dated if first <= moment < last]
    final = [None if row[SETTLED] is None else settled.moment(float(row[SETTLED])) for row, _ in dated]
    found, moments = [row for row, _ in dated], [moment for _, moment in dated]
    return NewestRows(name, event, found, moments, final, where, stumbled, complete)


async def _rows(
    policy: Policy, session: Session, stream: Stream, bounds: Mapping[str, Any], *, anyhow: bool
) -> tuple[Sequence[Row], str]:
    """The newest rows that have a time, and what could not be read of some row, so that each value was looked at."""
    dialect, kinds, name = Dialect(session.dialect_name), await kinds_read(stream, session), stream.event
    stumbled = ""
    try:
        rows = await _look(session, Statements(policy, dialect, name, kinds, careful=False), bounds, anyhow=anyhow)
    except (DatabaseUnavailableError, DatabaseTimeoutError):
        raise
    except DatabaseError as error:  # the exporter asks again as carefully
        rows = await _look(session, Statements(policy, dialect, name, kinds, careful=True), bounds, anyhow=anyhow)
        stumbled = error.what
    if stream.key is not None:
        rows = [(*row[:VERSION], row[VERSION] and _COMPUTED, *row[VERSION + 1 :]) for row in rows]
    rows = [row for row in rows if row[MOMENT] is not None]  # `canary check` tells of the others by itself
    if len(rows) > (most := bounds["count"]):  # so many of each shard: of older ones some are missing
        rows = heapq.nlargest(most, rows, key=itemgetter(MOMENT))
    return rows, stumbled


async def _look(session: Session, statements: Statements, bounds: Mapping[str, Any], *, anyhow: bool) -> Sequence[Row]:
    keys = [ID, *range(FIRST_PARENT, FIRST_PARENT + len(statements.parents))]
    rows = await rows_apart(session, statements.look(by_time=True), bounds, keys)
    if rows or not anyhow:
        return rows
    return await rows_apart(session, statements.look(by_time=False), {"count": bounds["count"]}, keys)


async def first_stream(policy: Policy, session: Session, name: str) -> Stream:
    """The first of an event's streams, fitted to what its columns hold.

    Raises:
        DatabaseError: the columns cannot be looked up.
    """
    streams = streams_of(policy, Dialect(session.dialect_name))
    return await fitted(next(stream for stream in streams if stream.event == name), session)

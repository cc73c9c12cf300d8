"""The newest rows of an event, as the exporter will read them.

They are looked for by their time within bounds, as an index can serve it; only where nothing is found there, by their
id, for a shop whose times are in another zone or unit than is said has rows, and none within any bounds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary.errors import DatabaseError, DatabaseTimeoutError, DatabaseUnavailableError
from canary.policy import Policy
from canary.policy.database.section import Event
from canary.policy.reading.document import Location
from exporter.source.columns.zones import Zone
from exporter.source.database import Row, Session
from exporter.source.dialects import Dialect
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

ID, MOMENT, VALUE, OUTCOME, SETTLED, VERSION, FIRST_PARENT = range(7)
"""Columns of `Statements.look`."""

Where = Callable[[Location], str]
"""Says where in the policy's file a key is."""


@dataclass(frozen=True)
class NewestRows:
    """One event, and its newest rows; moments in seconds since the epoch.

    Attributes:
        stumbled: what could not be read of some row, so that each value was looked at; empty where nothing was.
    """

    name: str
    event: Event
    rows: Sequence[Row]
    moments: Sequence[float]
    settled: Sequence[float | None]
    where: Where
    stumbled: str

    def at(self, key: str) -> str:
        """The line of one of the event's keys."""
        return self.where(("database", "events", self.name, key))


def shown(value: object) -> str:
    """A version or an outcome as text; a driver may hand it over as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


async def newest_rows(
    policy: Policy, session: Session, name: str, event: Event, where: Where, now: float
) -> NewestRows:
    """The newest rows of an event.

    Raises:
        DatabaseError: they cannot be read.
    """
    dialect = Dialect(session.dialect_name)
    stream = await first_stream(policy, session, name)
    kinds = await kinds_read(stream, session)
    bounds = stream.dialect.parameters(int(now) - _BACK_SECONDS, int(now) + FARTHEST_ZONE_SECONDS)
    stumbled = ""
    try:
        rows = await _look(session, Statements(policy, dialect, name, kinds, careful=False), bounds)
    except (DatabaseUnavailableError, DatabaseTimeoutError):
        raise
    except DatabaseError as error:  # the exporter asks again as carefully
        rows = await _look(session, Statements(policy, dialect, name, kinds, careful=True), bounds)
        stumbled = error.what
    if stream.key is not None:
        rows = [(*row[:VERSION], row[VERSION] and _COMPUTED, *row[VERSION + 1 :]) for row in rows]
    rows = [row for row in rows if row[MOMENT] is not None]  # those without a time `canary check` tells of by itself
    clock_zone = Zone(policy.database.timezone, dialect)
    entered = clock_zone.of_instants if stream.entered_instants else clock_zone
    settled = clock_zone.of_instants if stream.instants else clock_zone
    return NewestRows(
        name,
        event,
        rows,
        [entered.moment(float(row[MOMENT])) for row in rows],
        [None if row[SETTLED] is None else settled.moment(float(row[SETTLED])) for row in rows],
        where,
        stumbled,
    )


async def _look(session: Session, statements: Statements, bounds: Mapping[str, Any]) -> Sequence[Row]:
    rows = await session.rows(statements.look(by_time=True), {**bounds, "count": NEWEST})
    return rows or await session.rows(statements.look(by_time=False), {"count": NEWEST})


async def first_stream(policy: Policy, session: Session, name: str) -> Stream:
    """The first of an event's streams, fitted to what its columns hold.

    Raises:
        DatabaseError: the columns cannot be looked up.
    """
    streams = streams_of(policy, Dialect(session.dialect_name))
    return await fitted(next(stream for stream in streams if stream.event == name), session)

"""One look at the order database's rows, read as the exporter will read them.

The catalogue says that a column is there. It does not say that what it holds are times, or that an order's visit is
ever found: each of these was *ok* here and an empty dashboard later. So every event's own columns are read, of the
newest rows only, and what is odd about them is told with what to write instead.
"""

from collections.abc import AsyncIterator, Collection, Sequence

from canary.errors import DatabaseError, DatabaseTimeoutError, DatabaseUnavailableError
from canary.finding import Finding, failed, warning
from canary.policy import Policy
from exporter.source.columns.values import id_number, shape, to_number
from exporter.source.columns.zones import Zone
from exporter.source.database import Row, Session
from exporter.source.dialects import Dialect
from exporter.source.mapping import parents_of
from exporter.source.streams import Stream, fitted, held_by, no_times, streams_of

_NEWEST = 1_000
"""Rows that are looked at of each event: some pages, which the key's index finds."""
_PARENTS = 20_000
"""Parents among which those of the newest rows are looked for."""

_FORBIDDEN = ("denied", "not enough privileges")
"""What PostgreSQL, MariaDB, MySQL and ClickHouse say of rights that are missing."""

_ID, _MOMENT, _VALUE, _FIRST_PARENT = range(4)
"""Columns of a stream's `sample`."""


async def check_rows(place: str, policy: Policy, session: Session, left_out: Collection[str]) -> list[Finding]:
    """What of each event's rows the exporter could not read, or not understand.

    Args:
        place: the database, for the findings.
        left_out: events that are known to be faulty, or not to be there.

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    streams: dict[str, Stream] = {}
    for stream in streams_of(policy, Dialect(session.dialect_name)):
        if stream.event not in left_out:
            streams.setdefault(stream.event, stream)
    newest: dict[str, Sequence[Row]] = {}
    findings = [finding async for finding in _read(place, policy, session, streams, newest)]
    return findings + [finding async for finding in _joined(place, policy, session, streams, newest)]


async def sample_rows(policy: Policy, session: Session, count: int) -> dict[str, Sequence[Row]]:
    """The newest rows of each event by their id, as the exporter will read them; none of those that cannot be read.

    Their moments are in seconds since the epoch.

    Raises:
        DatabaseUnavailableError: there is no connection.
    """
    found: dict[str, Sequence[Row]] = {}
    zone = Zone(policy.database.timezone, Dialect(session.dialect_name))
    for plain in streams_of(policy, Dialect(session.dialect_name)):
        if not found.get(plain.event):  # what is pending is shown where nothing else is
            try:
                stream = await fitted(plain, session)
                rows = await session.rows(stream.sample, {"count": count})
            except DatabaseUnavailableError:
                raise
            except DatabaseError:
                rows = []
            else:
                rows = [_in_utc(row, zone.of(instants=stream.instants)) for row in rows]
            found[plain.event] = rows
    return found


def _in_utc(row: Row, zone: Zone) -> Row:
    """The row with its time as a moment, where it has one."""
    stored = to_number(row[_MOMENT])
    return row if stored is None else (*row[:_MOMENT], zone.moment(float(stored)), *row[_MOMENT + 1 :])


async def _read(
    place: str, policy: Policy, session: Session, streams: dict[str, Stream], newest: dict[str, Sequence[Row]]
) -> AsyncIterator[Finding]:
    """Read each event's newest rows into *newest*."""
    for name, plain in streams.items():
        at = f"database.events.{name}"
        try:
            streams[name] = stream = await fitted(plain, session)
            rows = newest[name] = await session.rows(stream.sample, {"count": _NEWEST})
            if policy.database.events[name].version is None:  # whether what is looked up can be compared at all
                await session.rows(stream.rows, stream.dialect.parameters(0, 1))
        except DatabaseUnavailableError:
            raise
        except DatabaseTimeoutError as error:
            yield warning(place, f"{at}: {error.what}", "give it an index on its id, or look at the rows by hand")
        except DatabaseError as error:
            mapped = error.place.startswith("database.events.")
            remedy = "try the statement in the database's own client, and let `sql:` turn a column into another type"
            if any(sign in error.what.lower() for sign in _FORBIDDEN):
                remedy = "see that this user may read it: GRANT SELECT on the table, or on each mapped column"
            if name in newest:
                remedy = "bring both columns of each look-up of a version to one type and collation, with `sql`"
            yield failed(place, f"{error.place if mapped else at}: {error.what}", error.remedy or remedy)
        else:
            async for finding in _understood(place, at, stream, rows, session):
                yield finding


async def _understood(
    place: str, at: str, stream: Stream, rows: Sequence[Row], session: Session
) -> AsyncIterator[Finding]:
    """Whether times are times, and values numbers."""
    untimed = [row for row in rows if row[_MOMENT] is None]
    written = await session.rows(stream.newest_times) if rows and stream.newest_times is not None else []
    # SQLite makes a moment of any number, as of a Julian day; the exporter takes none without its unit.
    if (untimed and len(untimed) == len(rows)) or (written and not any(legible for _, _, legible in written)):
        held = held_by(written[0][1] if written else "")
        error = no_times(f"{at}.time", "its column", held, numbered=stream.dialect.units_per_second > 0)
        yield failed(place, f"{error.place}: {error.what}", error.remedy)
    elif untimed:
        what = f"{at}.time: {len(untimed)} of the newest {len(rows)} rows have no time that can be read"
        yield warning(place, what, f"they do not count; the first has the id {untimed[0][_ID]}")
    odd = [row for row in rows if row[_VALUE] is not None and to_number(row[_VALUE]) is None]
    if odd:
        what = f"{at}.value: {len(odd)} of the newest {len(rows)} rows have a value that is no number"
        example = f"the first has the id {odd[0][_ID]} and looks like {shape(odd[0][_VALUE])}"
        yield warning(place, what, f"they count, their value does not; {example}")


async def _joined(
    place: str, policy: Policy, session: Session, streams: dict[str, Stream], newest: dict[str, Sequence[Row]]
) -> AsyncIterator[Finding]:
    """Whether the newest rows of each event find any parent."""
    for name, rows in newest.items():
        for number, (parent, column) in enumerate(parents_of(policy.database.events, name)):
            named = {id_number(row[_FIRST_PARENT + number]): row[_FIRST_PARENT + number] for row in rows}
            named = {key: value for key, value in named.items() if value is not None}
            if parent not in newest or not named:
                continue
            parents = await session.rows(streams[parent].sample, {"count": _PARENTS})
            if named.keys() & {id_number(row[_ID]) for row in parents}:
                continue
            key = policy.database.events[parent].id
            what = f"no {column} of the newest {len(rows)} rows is the {key} of one of {parent}"
            what = f"database.events.{name}.parent: {what}"
            remedy = f"name the column that holds it, or bring both to one form with `sql:` {_example(named, parents)}"
            if len(parents) < _PARENTS:
                yield failed(place, what, remedy)
            else:
                yield warning(place, f"{what}, among {_PARENTS} that were looked at", remedy)


def _example(named: dict[int, object], parents: Sequence[Row]) -> str:
    child = shape(next(iter(named.values())))
    return f"({child} here, {shape(parents[0][_ID])} there)" if parents else "(there are none)"

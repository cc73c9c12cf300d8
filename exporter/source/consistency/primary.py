"""A read replica held against its primary: rows that it lacks, has beyond it, or has otherwise, its lag apart.

The lag says how late rows come, and nothing of those that never come: a table that no publication has, a row that a
conflict left out, a replica that was once written to by hand. Verdicts then rest on some of the orders, and nothing
else would show it.

Both are written to while they are read, so that one look at each would find differences where there are none. The
primary is read first; then, once the replica says that it has what was there at that moment, the replica. All looks
end with the same second: of a busy shop, the newest rows of a moment later would all be others. What differs is looked
at once more in either, after `database.replica.max_lag`: a replica whose lag the database does not tell (logical
replication tells none) has so long. What remains is told.

A primary works for the shop's customers: it is asked seldom, for a bounded number of newest rows by their time, and
again only where something differs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import sqlalchemy as sa

from canary import names
from canary.errors import DatabaseError, DatabaseTimeoutError, DatabaseUnavailableError
from canary.policy.model import Policy
from canary.policy.reading.document import Location
from canary.timing.clock import Clock
from canary.units import format_duration
from exporter.source.columns.values import id_number, to_number
from exporter.source.consistency.newest import ID, OUTCOME, VALUE, NewestRows, newest_rows, shown
from exporter.source.database import Row, Session
from exporter.source.watch.replica import replica_lag_seconds

_AT = "database.primary"
_SETTLE_SECONDS = 2.0
"""Between the primary's answer and the replica's: what has been sent and has not been received is in no lag."""
_PATIENCE_SECONDS = 10.0
"""How long a replica has to catch up, at least."""
_RECOVERY = sa.text("SELECT pg_is_in_recovery()")

Facts = tuple[float | None, str | None]
"""What of a row is compared: its value and its outcome."""


@dataclass(frozen=True)
class Replicated:
    """One event's newest rows in both databases.

    Attributes:
        rows: how many of the primary's could be looked for in the replica.
        newest: the newest row's id in the primary, and in the replica; empty where there is no row.
        faulty: by one of `names.REPLICA_FAULTS`, the ids of such rows, newest first; no kinds without any.
        unread: why none could be compared; None where that was possible.
    """

    event: str
    rows: int
    newest: tuple[str, str]
    faulty: Mapping[str, Sequence[str]]
    unread: DatabaseError | None = None


@dataclass(frozen=True)
class _Look:
    """The newest rows of an event at one moment, by what their ids amount to."""

    rows: Mapping[int, tuple[float, Row]]
    since: float
    """Every row after this moment was read."""

    @classmethod
    def at(cls, newest: NewestRows) -> Self:
        dated = zip(newest.rows, newest.moments, strict=True)
        rows = {id_number(row[ID]): (moment, row) for row, moment in dated if row[ID] is not None}
        return cls(rows, -math.inf if newest.complete else min(newest.moments, default=math.inf))

    def facts(self, number: int) -> Facts:
        _, row = self.rows[number]
        value = to_number(row[VALUE])
        return None if value is None else float(value), None if row[OUTCOME] is None else shown(row[OUTCOME])

    @property
    def newest(self) -> str:
        return shown(max(self.rows.values(), key=lambda one: one[0])[1][ID]) if self.rows else ""


async def held_against_primary(
    policy: Policy, replica: Session, primary: Session, clock: Clock, *, most: int
) -> list[Replicated]:
    """What differs between a replica and its primary, by event; what cannot be read in one of them is not compared.

    Args:
        policy: as the order database has it (`exporter.source.sources.policy_at`).
        most: so many of the newest rows of each event are compared.

    Raises:
        DatabaseError: one of them is unreachable, the replica does not catch up, or the primary is none.
    """
    patience = policy.database.replica.max_lag if policy.database.replica is not None else _PATIENCE_SECONDS
    await require_primary(primary)
    asked_at, now = clock.monotonic(), clock.now().timestamp()
    found: dict[str, Replicated] = {}
    there = await _looks(policy, primary, now, most, list(policy.database.events), found)
    await _caught_up(replica, clock, asked_at, max(patience, _PATIENCE_SECONDS))
    here = await _looks(policy, replica, now, most, list(there), found)
    found |= {name: _compared(name, [there[name]], [here[name]]) for name in here}
    if doubtful := [name for name, one in found.items() if one.faulty]:
        again = await _looks(policy, primary, now, most, doubtful, found)
        await clock.sleep(patience)
        for name, look in (await _looks(policy, replica, now, most, list(again), found)).items():
            found[name] = _compared(name, [there[name], again[name]], [here[name], look])
    return [found[name] for name in policy.database.events]


async def require_primary(session: Session) -> None:
    """Ask whether this is a primary.

    Raises:
        DatabaseError: it is unreachable, or it is a replica.
    """
    await session.rows(sa.text("SELECT 1"))
    if session.dialect_name == "postgresql" and (await session.rows(_RECOVERY))[0][0]:
        what = "what is called the primary is a replica itself"
        raise DatabaseError(what, place=_AT, remedy="name the server that the shop writes to")


async def _caught_up(replica: Session, clock: Clock, asked_at: float, patience: float) -> None:
    """Return once the replica has what the primary had at this moment of the monotonic clock."""
    while True:
        await clock.sleep(_SETTLE_SECONDS)
        lag, waited = await replica_lag_seconds(replica), clock.monotonic() - asked_at
        if lag < waited:
            return
        if waited > patience:
            behind = "does not replicate" if math.isinf(lag) else f"is {format_duration(round(lag))} behind"
            what = f"the replica did not catch up with its primary: it {behind}"
            raise DatabaseError(what, place="database.replica", remedy="see that it follows its primary")


async def _looks(
    policy: Policy, session: Session, now: float, most: int, events: Sequence[str], found: dict[str, Replicated]
) -> dict[str, _Look]:
    """The newest rows until now by event; *found* is told of those that cannot be read here."""
    looks, second = {}, math.floor(now)
    for name in events:
        event = policy.database.events[name]
        try:
            rows = await newest_rows(policy, session, name, event, _place, now, until=second, most=most)
        except (DatabaseUnavailableError, DatabaseTimeoutError):
            raise
        except DatabaseError as error:  # no such table, or this user may not read it: that says nothing of the others
            found[name] = Replicated(name, 0, ("", ""), {}, error)
        else:
            looks[name] = _Look.at(rows)
    return looks


def _place(location: Location) -> str:
    return ".".join(map(str, location))


def _compared(event: str, there: Sequence[_Look], here: Sequence[_Look]) -> Replicated:
    """What is in all looks at one database, and in none at the other, is not there; what changed meanwhile is left out.

    Only from the moment on after which every look has read every row.
    """
    since = max(look.since for look in (*there, *here))
    always_there, ever_there = _always(there, since), _ever(there)
    always_here, ever_here = _always(here, since), _ever(here)
    differing = [
        one
        for one in always_there.keys() & always_here.keys()
        if len({look.facts(one) for look in there}) == len({look.facts(one) for look in here}) == 1
        and there[0].facts(one) != here[0].facts(one)
    ]
    missing, surplus = always_there.keys() - ever_here, always_here.keys() - ever_there
    moments = always_there | always_here
    ids = {number: row[ID] for look in (*there, *here) for number, (_, row) in look.rows.items()}
    by_kind = dict(zip(names.REPLICA_FAULTS, (missing, surplus, differing), strict=True))
    newest_first: Callable[[int], float] = lambda number: -moments[number]  # noqa: E731
    faulty = {
        kind: tuple(shown(ids[one]) for one in sorted(numbers, key=newest_first))
        for kind, numbers in by_kind.items()
        if numbers
    }
    newest = there[-1].newest, here[-1].newest
    return Replicated(event, len(always_there), newest, faulty, _crowded([*there, *here], since))


def _crowded(looks: Sequence[_Look], since: float) -> DatabaseError | None:
    """What to do where no look reaches back beyond one moment, of which there may be more rows than were read."""
    most = max(len(look.rows) for look in looks)
    if not most or any(moment > since for look in looks for moment, _ in look.rows.values()):
        return None
    what = f"the newest {most} rows have one and the same time, and there may be more of it"
    return DatabaseError(what, remedy=f"raise {_AT}.rows")


def _always(looks: Sequence[_Look], since: float) -> dict[int, float]:
    """Rows that every look has, all after this moment."""
    first, *others = looks
    return {
        number: moment
        for number, (moment, _) in first.rows.items()
        if moment > since and all(number in look.rows for look in others)
    }


def _ever(looks: Sequence[_Look]) -> set[int]:
    return {number for look in looks for number in look.rows}

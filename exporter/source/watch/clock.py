"""How far the order database's clock is from ours.

Rows are looked for by their times: the newest seconds at each refresh, a little of the past now and then. Where the
database dates its rows minutes into the past, new ones are not found before the hourly comparison of everything, and
where it dates them far ahead, they wait for their time. Either way a harmful canary has no rows, which looks like a
quiet hour. So a clock that is so far away is a reason to call the judge blind.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import sqlalchemy as sa

from canary.timing.clock import Clock
from exporter.source.database import Session

_NOW = {name: sa.text("SELECT UTC_TIMESTAMP(6)") for name in ("mysql", "mariadb")}
_NOW["postgresql"] = sa.text("SELECT clock_timestamp()")
"""How each server tells its own time; a file in SQLite has none of its own."""


@dataclass(frozen=True)
class Difference:
    """How far another clock is ahead, and how far off this may be: half of the time that asking took."""

    seconds: float
    uncertain_seconds: float = 0.0

    @classmethod
    def of(cls, theirs: float, before: datetime, after: datetime) -> Self:
        """From their time and ours before and after asking."""
        ours = (before.timestamp() + after.timestamp()) / 2
        return cls(theirs - ours, (after - before).total_seconds() / 2)


async def database_clock(session: Session, clock: Clock) -> Difference | None:
    """How far the database server's clock is ahead; None where there is none of its own, or none we know.

    Raises:
        DatabaseError: it could not be asked.
    """
    statement = _NOW.get(session.dialect_name)
    if statement is None:
        return None
    await session.rows(sa.text("SELECT 1"))  # connecting takes time that is not the clock's
    before = clock.now()
    moment: datetime = (await session.rows(statement))[0][0]
    after = clock.now()
    theirs = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return Difference.of(theirs, before, after)

"""How far a read replica is behind its primary.

A replica that is minutes behind answers quickly and shows a healthy past. So the lag is a reason to call the judge
blind, and rows are looked for further back by as much. Only replication that the database reports itself is measured:
writing a heartbeat row to the primary would be exact, and we only read.
"""

import math
from typing import Any

import sqlalchemy as sa

from canary.errors import DatabaseError, DatabaseUnavailableError
from exporter.source.database import Session

# Replayed everything that was received, from a sender that is there: not behind, however long ago the last commit was.
_POSTGRESQL = sa.text(
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0"
    " WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0"
    " ELSE date_part('epoch', clock_timestamp() - pg_last_xact_replay_timestamp()) END"
)
_MYSQL = (sa.text("SHOW REPLICA STATUS"), sa.text("SHOW SLAVE STATUS"))
"""The second one for servers from before the word changed (MariaDB 10.5, MySQL 8.0.22); MySQL 8.4 forgot it."""
_MYSQL_BEHIND = ("Seconds_Behind_Source", "Seconds_Behind_Master")


async def replica_lag_seconds(session: Session) -> float:
    """Seconds that the replica is behind; infinite when it does not replicate, 0 on a primary.

    Raises:
        DatabaseError: the database could not be asked, or it is of a kind whose lag we cannot measure.
    """
    match session.dialect_name:
        case "postgresql":
            lag = (await session.rows(_POSTGRESQL))[0][0]
            return math.inf if lag is None else max(0.0, float(lag))
        case "mysql" | "mariadb":
            return await _mysql_lag_seconds(session)
        case name:
            raise DatabaseError(
                f"the lag of {name} cannot be measured", place="database.replica", remedy="remove the section"
            )


async def _mysql_lag_seconds(session: Session) -> float:
    rows: Any
    try:
        rows = await session.rows(_MYSQL[0])
    except DatabaseUnavailableError:
        raise
    except DatabaseError as first:
        try:
            rows = await session.rows(_MYSQL[1])
        except DatabaseError as second:  # that one word is none here says nothing of the right that is missing
            raise second if "syntax" in first.what.lower() else first from None
    if not rows:
        return 0.0
    named = rows[0]._mapping  # noqa: SLF001  # SQLAlchemy's public way to names
    seconds = next((named[name] for name in _MYSQL_BEHIND if name in named), None)
    return math.inf if seconds is None else float(seconds)

"""How far a read replica is behind its primary.

A replica that is minutes behind answers quickly and shows a healthy past. So the lag is a reason to call the judge
blind, and rows are looked for further back by as much. Only replication that the database reports itself is measured:
writing a heartbeat row to the primary would be exact, and we only read.
"""

import math
from typing import Any

import sqlalchemy as sa

from canary.errors import DatabaseError
from exporter.source.database import Session

# Replayed everything that was received, from a sender that is there: not behind, however long ago the last commit was.
_POSTGRESQL = sa.text(
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0"
    " WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0"
    " ELSE date_part('epoch', clock_timestamp() - pg_last_xact_replay_timestamp()) END"
)
_MARIADB = sa.text("SHOW SLAVE STATUS")


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
            rows: Any = await session.rows(_MARIADB)
            if not rows:
                return 0.0
            seconds = rows[0]._mapping["Seconds_Behind_Master"]  # noqa: SLF001  # SQLAlchemy's public way to names
            return math.inf if seconds is None else float(seconds)
        case name:
            raise DatabaseError(
                f"the lag of {name} cannot be measured", place="database.replica", remedy="remove the section"
            )

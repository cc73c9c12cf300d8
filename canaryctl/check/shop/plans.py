"""By which way a database would find the newest rows of an event: through an index, or by reading the whole table.

Of a mapped table the catalogue tells it. Of an own SELECT only the database's plan does, and each database shows its
plans in its own way. What is asked for is ten seconds of rows, so a plan that reads thousands reads what it does not
need. A small table is read whole by every database, rightly, and is cheap here too.
"""

import json
from typing import Any

import sqlalchemy as sa

from exporter.source.database import Session
from exporter.source.streams import FRESH_SECONDS, Stream

_MANY_ROWS = 1_000
"""MariaDB and MySQL estimate the rows that they read; ten seconds of the busiest shops have fewer."""
_MUCH_COST = 1_000.0
"""PostgreSQL reckons in pages read: by index ten seconds of rows are some tens, and a table of 8 MB is a thousand."""


async def expensive(session: Session, stream: Stream, now: float) -> str:
    """What is expensive about finding the newest rows; empty where nothing is, or the database does not tell.

    Raises:
        DatabaseError: the statement cannot be planned: then it cannot be run either.
    """
    bounds = stream.dialect.parameters(int(now) - FRESH_SECONDS, int(now))
    match session.dialect_name:
        case "sqlite":
            return _of_sqlite(await _explained(session, stream.rows, bounds, "EXPLAIN QUERY PLAN"))
        case "postgresql":
            return _of_postgresql(await _explained(session, stream.rows, bounds, "EXPLAIN (FORMAT JSON)"))
        case "mysql" | "mariadb":  # of itself MySQL 9 gives one text, a tree
            return _of_mysql(await _explained(session, stream.rows, bounds, "EXPLAIN FORMAT=TRADITIONAL"))
        case _:
            return ""


async def _explained(session: Session, statement: sa.Select[Any], bounds: Any, explain: str) -> list[dict[str, Any]]:
    def look(connection: sa.Connection) -> list[dict[str, Any]]:
        text = statement.params(**bounds).compile(connection, compile_kwargs={"literal_binds": True})
        return [dict(row._mapping) for row in connection.exec_driver_sql(f"{explain} {text}")]  # noqa: SLF001  # SQLAlchemy's own name for it

    return await session.run(look)


def _of_sqlite(plan: list[dict[str, Any]]) -> str:
    details = [str(row["detail"]) for row in plan]
    ranged = any(line.startswith("SEARCH") and (">?" in line or "<?" in line) for line in details)
    scanned = [line for line in details if line.startswith("SCAN")]
    return "" if ranged or not scanned else f"the whole table is read ({scanned[0]})"


def _of_postgresql(plan: list[dict[str, Any]]) -> str:
    found = next(iter(plan[0].values()))
    root = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    if float(root["Total Cost"]) < _MUCH_COST:
        return ""
    nodes, scanned = [root], ""
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if node["Node Type"] == "Seq Scan":
            scanned = f" (Seq Scan on {node['Relation Name']})"
    return f"its plan costs {root['Total Cost']:,.0f}{scanned}, an index would cost less than 100"


def _of_mysql(plan: list[dict[str, Any]]) -> str:
    # MariaDB tells behind the number how many of them a second index keeps: `1 (75%)`.
    reads = [(int(str(row["rows"]).split()[0]), row) for row in plan if row.get("rows") is not None]
    # What is looked up for each row by a key is estimated by statistics that may be old; what comes first is not.
    many = [one for one in reads if one[0] >= _MANY_ROWS and (one is reads[0] or one[1]["type"] != "ref")]
    if not many:
        return ""
    most, row = many[0]
    return f"{most:,} rows of {row['table']} are read by its plan (type {row['type']}, key {row['key']})"

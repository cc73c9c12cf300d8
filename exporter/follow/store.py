"""Where assignments and visits are kept: SQLite or PostgreSQL, with the place in the log in the same transaction.

Times are seconds since the epoch, so that no time zone comes into it. Ids are counted by the follower, which is the
only writer, and grow: so the newest rows are those with the greatest ids, and what is beyond the bound is deleted by
one comparison. A second follower on the same tables would make the same ids and is refused by the primary keys.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from canary.database.url import driver_address, shown_url
from canary.errors import DatabaseError, DatabaseUnavailableError, reason
from exporter.follow.rotated import Place
from exporter.follow.tally import Assignment, Changes, Customer, Visit
from exporter.source.assignments.logged import LEFT_OUT_COLUMN, PLACE

_SOME = 500
"""Parameters of one statement; SQLite takes 999 in its older versions."""

_METADATA = sa.MetaData()
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ASSIGNMENTS = sa.Table(
    "canary_assignments",
    _METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    sa.Column("unit", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text),
    sa.Column("canary", sa.Boolean, nullable=False),
    sa.Column("first_at", sa.Double, nullable=False),
    sa.Column("last_at", sa.Double, nullable=False),
    sa.Column(LEFT_OUT_COLUMN, sa.Boolean, nullable=False, server_default="0"),
)
VISITS = sa.Table(
    "canary_visits",
    _METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=False),
    sa.Column("unit", sa.Text, nullable=False, index=True),
    sa.Column("version", sa.Text),
    sa.Column("canary", sa.Boolean, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False, index=True),
    sa.Column("repeated_at", sa.Double, index=True),
    sa.Column("last_at", sa.Double, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("errors", sa.Integer, nullable=False),
)
_PLACES = sa.Table(
    "canary_log_places", _METADATA, sa.Column("source", sa.Text, primary_key=True), sa.Column("place", sa.Text)
)


class Store:
    """The follower's tables."""

    def __init__(self, engine: AsyncEngine, url: URL) -> None:
        self._engine = engine
        self._shown = shown_url(url)
        self._insert: Any = sqlite.insert if url.get_backend_name() == "sqlite" else postgresql.insert

    @classmethod
    def of(cls, url: URL) -> Self:
        """The store at an address; nothing is opened yet.

        Raises:
            DatabaseUnavailableError: the address is not understood.
        """
        address = driver_address(url, place=PLACE)
        options = dict(address.options)
        return cls(create_async_engine(address.url, connect_args=options), url)

    async def open(self) -> tuple[int, int]:
        """Make the tables where they are not there; the first free ids of assignments and visits.

        Raises:
            DatabaseError: the store cannot be used.
        """
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(_METADATA.create_all)
                await connection.run_sync(_add_what_is_new)
                found = [
                    (await connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0)))).scalar_one()
                    for table in (ASSIGNMENTS, VISITS)
                ]
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(error) from error
        return found[0] + 1, found[1] + 1

    async def place(self, source: str) -> Place | None:
        """Up to where a source was read."""
        try:
            async with self._engine.connect() as connection:
                text = await connection.scalar(sa.select(_PLACES.c.place).where(_PLACES.c.source == source))
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(error) from error
        return Place(**json.loads(text)) if text else None

    async def customers(self, units: Collection[str]) -> Mapping[str, Customer]:
        """The last assignment and visit of each of some customers, for those who have any."""
        found: dict[str, Customer] = {}
        listed = list(units)
        try:
            async with self._engine.connect() as connection:
                for start in range(0, len(listed), _SOME):
                    some = listed[start : start + _SOME]
                    for row in await _newest(connection, ASSIGNMENTS, some):
                        found.setdefault(row.unit, Customer()).assignment = Assignment(**row._asdict())
                    for row in await _newest(connection, VISITS, some):
                        found.setdefault(row.unit, Customer()).visit = Visit(**row._asdict())
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(error) from error
        return found

    async def write(self, changes: Changes, source: str, place: Place | None) -> None:
        """Keep a batch and the place after it, both or none.

        Raises:
            DatabaseError: neither is kept.
        """
        try:
            async with self._engine.begin() as connection:
                for table, rows in ((ASSIGNMENTS, changes.assignments), (VISITS, changes.visits)):
                    if rows:
                        columns = table.c.keys()
                        # `asdict` copies deeply, and took a third of all the time.
                        flat = [{name: getattr(row, name) for name in columns} for row in rows.values()]
                        await connection.execute(self._upsert(table), flat)
                if place is not None:
                    row = {"source": source, "place": json.dumps(asdict(place))}
                    await connection.execute(self._upsert(_PLACES), [row])
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(error) from error

    async def heal(self, stable: str) -> None:
        """What was kept before there was a rollout was of its stable version."""
        try:
            async with self._engine.begin() as connection:
                for table in (ASSIGNMENTS, VISITS):
                    await connection.execute(table.update().where(table.c.version.is_(None)).values(version=stable))
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(error) from error

    async def prune(self, before: float, most: int) -> None:
        """Delete what is older, and of what is more the oldest."""
        try:
            async with self._engine.begin() as connection:
                for table in (ASSIGNMENTS, VISITS):
                    newest = await connection.scalar(sa.select(sa.func.max(table.c.id)))
                    too_many = table.c.id <= (newest or 0) - most
                    await connection.execute(table.delete().where(sa.or_(table.c.last_at < before, too_many)))
        except (SQLAlchemyError, OSError) as error:
            raise self._failed(error) from error

    async def close(self) -> None:
        """Let go of the connections."""
        await self._engine.dispose()

    def _upsert(self, table: sa.Table) -> Any:
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
        return insert.on_conflict_do_update(index_elements=keys, set_=changed)

    def _failed(self, error: Exception) -> DatabaseError:
        return DatabaseUnavailableError(reason(error), place=self._shown, remedy="check that it is there and writable")


def _add_what_is_new(connection: sa.Connection) -> None:
    """The column that an earlier version did not make."""
    there = {column["name"] for column in sa.inspect(connection).get_columns(ASSIGNMENTS.name)}
    if LEFT_OUT_COLUMN not in there:
        connection.execute(
            sa.text(f"ALTER TABLE {ASSIGNMENTS.name} ADD COLUMN {LEFT_OUT_COLUMN} BOOLEAN NOT NULL DEFAULT '0'")
        )


async def _newest(connection: AsyncConnection, table: sa.Table, units: list[str]) -> Collection[Any]:
    newest = sa.select(sa.func.max(table.c.id)).where(table.c.unit.in_(units)).group_by(table.c.unit)
    return (await connection.execute(sa.select(table).where(table.c.id.in_(newest)))).all()

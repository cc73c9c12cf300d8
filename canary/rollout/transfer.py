"""The journal as a whole: verified row by row, and copied into another database with every position kept.

Positions are what entries refer to (a message to its decision, a decision to what was seen), so a copy keeps them. It
goes into a place that has no entries of the service yet, in one transaction: half a journal would be taken for an old
one. Rows that are not understood are copied as they are, since a newer version may understand them.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from canary.errors import JournalError, RefusedError, reason
from canary.rollout.entries import Unknown
from canary.rollout.experiments import CHAIN
from canary.rollout.journal.journal import JOURNAL, METADATA, entry_of
from canary.rollout.journal.rows import KINDS


@dataclass(frozen=True)
class Verdict:
    """What a look at every row found.

    Attributes:
        rows: how many there are, experiments' included.
        faults: one line for each row that is not understood or does not follow the one before.
    """

    rows: int
    faults: tuple[str, ...]


async def verify(url: URL, service: str) -> Verdict:
    """Read every row of a service.

    Raises:
        JournalError: the database cannot be read.
    """
    async with _connected(url) as connection:
        rows = await _rows(connection, service)
    return Verdict(len(rows), (*_unread(rows, service), *_gaps(rows)))


async def copy(source: URL, target: URL, service: str) -> int:
    """Copy every row of a service; gives how many.

    Raises:
        RefusedError: the target has entries of the service, or others at these positions.
        JournalError: a database cannot be reached, read or written; then the target has none of the rows.
    """
    async with _connected(source) as connection:
        rows = await _rows(connection, service)
    async with _connected(target) as connection:
        await connection.run_sync(METADATA.create_all)
        if await _rows(connection, service):
            raise RefusedError(f"it has entries of {service} already", place="target", remedy="name an empty database")
        taken = sa.select(JOURNAL.c.seq).where(JOURNAL.c.seq.in_([row["seq"] for row in rows]))
        if (await connection.execute(taken)).first() is not None:
            raise RefusedError(
                "another service has entries at the same positions",
                place="target",
                remedy="name a database of this service's own",
            )
        if rows:
            await connection.execute(JOURNAL.insert(), [dict(row) for row in rows])
        if rows and target.get_backend_name() == "postgresql":
            # Rows with given positions do not move the counter that gives the next one.
            counter = sa.func.pg_get_serial_sequence(JOURNAL.name, "seq")
            await connection.execute(
                sa.select(sa.func.setval(counter, sa.select(sa.func.max(JOURNAL.c.seq)).scalar_subquery()))
            )
    return len(rows)


async def _rows(connection: AsyncConnection, service: str) -> Sequence[sa.RowMapping]:
    chains = sa.or_(JOURNAL.c.service == service, JOURNAL.c.service == f"{service}/{CHAIN.name}")
    return (await connection.execute(sa.select(JOURNAL).where(chains).order_by(JOURNAL.c.seq))).mappings().all()


def _unread(rows: Sequence[sa.RowMapping], service: str) -> list[str]:
    read = [(row, entry_of(row, KINDS if row["service"] == service else CHAIN.kinds)) for row in rows]
    return [
        f"row {row['seq']}: {row['kind']!a} is not understood ({entry.fault})"
        for row, entry in read
        if isinstance(entry, Unknown)
    ]


def _gaps(rows: Sequence[sa.RowMapping]) -> list[str]:
    faults = []
    for service in sorted({row["service"] for row in rows}):
        chain = [row for row in rows if row["service"] == service]
        faults += [
            f"row {after['seq']}: follows row {after['previous']}, expected {before['seq']}: rows are missing"
            for before, after in pairwise(chain)
            if after["previous"] != before["seq"]
        ]
        if chain[0]["previous"] != 0:
            faults.append(f"row {chain[0]['seq']}: follows row {chain[0]['previous']}, which is missing")
    return faults


@asynccontextmanager
async def _connected(url: URL) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            yield connection
    except (SQLAlchemyError, OSError) as error:
        raise JournalError(
            reason(error),
            place=f"journal {url.render_as_string(hide_password=True)}",
            remedy="check that the database is there",
        ) from error
    finally:
        await engine.dispose()

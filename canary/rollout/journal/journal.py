"""The rollout's journal: append-only, durable before anything is done, read by receiver, exporter and command line."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from canary.database.url import read_database_url
from canary.errors import DatabaseUnavailableError, JournalConflictError, JournalContentError, JournalError, reason
from canary.logs import Log
from canary.policy.model import Policy
from canary.rollout.entries import Entry
from canary.rollout.folding import fold, newest
from canary.rollout.journal.connection import DatabaseFile, journal_engine
from canary.rollout.journal.refusals import is_about_content, is_conflict, is_contended
from canary.rollout.journal.rows import ROLLOUTS, Chain, read
from canary.rollout.journal.texts import forms
from canary.rollout.kinds import Kind
from canary.rollout.state import Rollout
from canary.secrets import read_secret
from canary.timing.times import to_text

_CONFLICT = "somebody else wrote meanwhile"

# A rollback waits no longer than this for a database that does not answer.
_TIMEOUT_SECONDS = 2.0

# Of those who make one SQLite file at the same moment all but one are refused, without the time of waiting that they
# ask for: whoever turns its log on while another one writes, and whoever writes after another one has.
_MAKING_SECONDS, _AGAIN_SECONDS = 10.0, 0.05

METADATA = sa.MetaData()

JOURNAL = sa.Table(
    "canary_journal",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("service", sa.String(80), nullable=False),
    sa.Column("previous", sa.Integer, nullable=False),
    sa.Column("rollout", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    # Two writers that decide from the same past: the second one's entry is refused by the database.
    sa.UniqueConstraint("service", "previous", name="canary_journal_chain"),
)


def journal_url(policy: Policy) -> URL:
    """The journal's database, with an asynchronous driver and SQLite paths made absolute.

    Raises:
        SecretError: a named secret cannot be read.
        JournalError: the URL is not one.
    """
    state = policy.state
    text = read_secret("state.url", file=state.url_file, env=state.url_env, base=policy.base) or state.url
    try:
        url = read_database_url(text or "", place="state.url", base=policy.base)
    except DatabaseUnavailableError as error:
        raise JournalError(error.what, place=error.place, remedy=error.remedy) from error
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise JournalError(f"expected sqlite or postgresql, found {backend}", place="state.url")
    return url


class Journal:
    """Appends and reads entries of one chain of a service."""

    def __init__(self, engine: AsyncEngine, service: str, chain: Chain = ROLLOUTS) -> None:
        self._engine = engine
        self._service = f"{service}/{chain.name}" if chain.name else service
        self._kinds = chain.kinds
        # Whether the table is there; false until it has been made or found.
        self._made = True
        self._file = DatabaseFile(engine)
        self._log = Log("journal")

    @classmethod
    @asynccontextmanager
    async def open(cls, policy: Policy, chain: Chain = ROLLOUTS, *, patient: bool = False) -> AsyncIterator["Journal"]:
        """The policy's journal, its table created when missing, closed at the end.

        Args:
            chain: entries of other things than rollouts are chained apart.
            patient: a database that is away or damaged is met when the journal is used, and not now.

        Raises:
            JournalError: the policy names no database; or, unless *patient*, it cannot be reached or written.
        """
        engine = await journal_engine(journal_url(policy), _TIMEOUT_SECONDS, patient=patient)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine.sync_engine, "connect", _durable)
        journal = cls(engine, policy.service, chain)
        journal._made = False
        try:
            if patient:
                yield journal
                return
            await journal._create()
            yield journal
        finally:
            await engine.dispose()

    async def _create(self) -> None:
        """Reach the database and make the table; who does the same at this moment is waited for."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + _MAKING_SECONDS
        while True:
            try:
                async with self._connection():
                    return
            except JournalError as error:
                if loop.time() > ends or not is_contended(error.__cause__):
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)

    async def append(self, entry: Entry, *, after: Entry | int | None = None) -> Entry:
        """Write one entry durably and give it back as it was written, with its position.

        Its texts are made storable and showable first (`texts`); what the database refuses all the same is written in a
        plainer form, and says so.

        Args:
            after: when given, refuse unless the service's newest entry is still this one, or has this position, so that
                two writers never decide from the same past. A position alone does not tell an older copy, which others
                go on writing, from the journal that was read.

        Raises:
            JournalConflictError: somebody else wrote meanwhile; nothing was written.
            JournalContentError: the database takes the entry in no form; nothing was written.
            JournalError: nothing was written; the message says why.
        """
        for form in forms(entry):
            try:
                return await self._append(form, after)
            except JournalContentError as error:
                self._log.error("the journal refuses what an entry says", exception=error, kind=form.label)
                refused = error
        raise refused

    async def _append(self, entry: Entry, after: Entry | int | None) -> Entry:
        async with self._connection() as connection:
            newest = await self._newest(connection)
            known = after.seq if isinstance(after, Entry) else after
            if known not in (None, newest) or (isinstance(after, Entry) and not await self._has(connection, after)):
                raise JournalConflictError(_CONFLICT, place="journal", remedy="look again and decide anew")
            result = await connection.execute(
                JOURNAL.insert().values(
                    service=self._service,
                    previous=newest,
                    rollout=entry.rollout,
                    kind=entry.label,
                    at=to_text(entry.at),
                    actor=entry.actor,
                    reason=entry.reason,
                    data=json.dumps(entry.data(), sort_keys=True),
                )
            )
            key = result.inserted_primary_key
        assert key is not None
        return replace(entry, seq=int(key[0]))

    async def entries(self, rollout: str | None = None, *, after: int = 0) -> Sequence[Entry]:
        """All entries of the service, or of one rollout, that come after a position, oldest first.

        Raises:
            JournalError: the database cannot be read.
        """
        query = sa.select(JOURNAL).where(JOURNAL.c.service == self._service, JOURNAL.c.seq > after)
        query = query.order_by(JOURNAL.c.seq)
        if rollout is not None:
            query = query.where(JOURNAL.c.rollout == rollout)
        async with self._connection() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [entry_of(row, self._kinds) for row in rows]

    async def current(self) -> Rollout | None:
        """The newest rollout; None before the first.

        Raises:
            JournalError: the database cannot be read.
        """
        started = (
            sa.select(sa.func.max(JOURNAL.c.seq))
            .where(JOURNAL.c.service == self._service, JOURNAL.c.kind.in_((Kind.STARTED.value, Kind.ADOPTED.value)))
            .scalar_subquery()
        )
        query = (
            sa.select(JOURNAL)
            .where(JOURNAL.c.service == self._service, JOURNAL.c.seq >= started)
            .order_by(JOURNAL.c.seq)
        )
        async with self._connection() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return newest(fold(entry_of(row, self._kinds) for row in rows))

    async def probe(self) -> None:
        """Write an entry and take it back before it counts: what `append` would meet.

        Raises:
            JournalError: the database cannot be written.
        """
        async with self._connection() as connection:
            point = await connection.begin_nested()
            blank = dict.fromkeys(("rollout", "kind", "at", "actor", "reason", "data"), "")
            # No entry follows another at a negative position, so that nobody's own entry is in the way.
            nowhere = -1 - secrets.randbelow(2**31 - 1)
            await connection.execute(JOURNAL.insert().values(service=self._service, previous=nowhere, **blank))
            await point.rollback()

    async def services(self) -> frozenset[str]:
        """Whose entries are in this database; JournalError when it cannot be read."""
        async with self._connection() as connection:
            chains = await connection.execute(sa.select(JOURNAL.c.service).distinct())
        return frozenset(chain.partition("/")[0] for chain in chains.scalars())

    async def position(self) -> int:
        """Position of the service's newest entry, 0 when there is none.

        Raises:
            JournalError: the database cannot be read.
        """
        async with self._connection() as connection:
            return await self._newest(connection)

    async def _newest(self, connection: AsyncConnection) -> int:
        query = sa.select(sa.func.max(JOURNAL.c.seq)).where(JOURNAL.c.service == self._service)
        return int((await connection.execute(query)).scalar() or 0)

    async def _has(self, connection: AsyncConnection, entry: Entry) -> bool:
        """Whether the row at an entry's position is that entry."""
        query = sa.select(JOURNAL).where(JOURNAL.c.seq == entry.seq)
        row = (await connection.execute(query)).mappings().one_or_none()
        return row is not None and entry_of(row, self._kinds).identity == entry.identity

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """One transaction; the only place where database errors become ours."""
        try:
            self._file.require()
            async with self._engine.begin() as connection:
                if not self._made:
                    await connection.run_sync(METADATA.create_all)
                yield connection
                self._made = True
            self._file.remember()
        except (SQLAlchemyError, OSError, UnicodeError, OverflowError) as error:
            if is_conflict(error):
                raise JournalConflictError(_CONFLICT, place="journal", remedy="look again and decide anew") from error
            where = self._engine.url.render_as_string(hide_password=True)
            kind, remedy = (
                (JournalContentError, "look for constraints and triggers on the table canary_journal")
                if is_about_content(error)
                else (JournalError, "check that the database is there and writable")
            )
            raise kind(reason(error), place=f"journal {where}", remedy=remedy) from error


def entry_of(row: sa.RowMapping, kinds: Mapping[str, type[Entry]]) -> Entry:
    """The entry in a row of the table, `Unknown` when it is none of these kinds."""
    try:
        data = json.loads(row["data"])
    except (TypeError, ValueError, RecursionError):
        data = None
    return read(dict(row), data, kinds)


def _durable(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
    """An entry must be on disk before anything is done because of it; and a damaged text hides no other row."""
    # SQLite keeps whatever bytes a text has; by default one that is not UTF-8 makes the whole journal unreadable.
    connection.driver_connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()

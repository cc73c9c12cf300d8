"""One leader among receivers that share a PostgreSQL journal: an advisory lock with a heartbeat.

The lock ends with its connection, so a receiver that dies frees it at once. One that is paused or cut off keeps its
connection; the others see its heartbeat stop and end that connection. Until then it has stopped acting by itself: it
acts only within a heartbeat's age that is shorter than the others' patience.

The lock belongs to a server connection. A pooler in transaction mode gives that connection to others between two
statements: the lock would be held by nobody in particular, and free nobody. So there nobody leads, which is said.
"""

import asyncio
import contextlib

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from canary.database.postgres import Pooling, pooling
from canary.database.url import driver_address
from canary.errors import DatabaseUnavailableError, reason
from canary.logs import Log
from canary.timing.clock import Clock

# Several heartbeats fit into the time for which a leader trusts the last one: a single slow statement deposes nobody.
_BEAT_SECONDS = 1.0

# A leader whose last heartbeat is older acts no more; the others take over only after a longer silence.
_TRUST_SECONDS = 4.0
_PATIENCE_SECONDS = 6.0
# A heartbeat that takes longer is none; two of them fit into the trust above.
_STATEMENT_SECONDS = 2.0

# An address that leads through the wrong pooler stays so until somebody changes it; each look is two connections.
_POOLER_SECONDS = 30.0

LEADER_REMEDY = "write a direct address of PostgreSQL, or that of a pool in session mode, in state.url"
"""What to do when receivers share a journal behind a pooler in transaction mode."""

_TABLE = sa.text(
    "CREATE TABLE IF NOT EXISTS canary_leader ("
    "service varchar(64) PRIMARY KEY, pid integer NOT NULL, epoch bigint NOT NULL, beat_at timestamptz NOT NULL)"
)
_LOCK = sa.text("SELECT pg_try_advisory_lock(hashtextextended('kpi-canary:' || :service, 0))")
_TAKE = sa.text(
    "INSERT INTO canary_leader AS l VALUES (:service, pg_backend_pid(), 1, clock_timestamp()) "
    "ON CONFLICT (service) DO UPDATE SET pid = excluded.pid, epoch = l.epoch + 1, beat_at = excluded.beat_at "
    "RETURNING epoch"
)
_BEAT = sa.text(
    "UPDATE canary_leader SET beat_at = clock_timestamp() "
    "WHERE service = :service AND epoch = :epoch AND pid = pg_backend_pid()"
)
# Only a backend that holds this very lock is ended: process ids are used again.
_END = sa.text(
    "SELECT pg_terminate_backend(l.pid) FROM canary_leader l JOIN pg_locks k ON k.pid = l.pid "
    "WHERE l.service = :service AND l.beat_at < clock_timestamp() - make_interval(secs => :patience) "
    "AND k.locktype = 'advisory' AND k.granted "
    "AND (k.classid::bigint << 32) + k.objid::bigint = hashtextextended('kpi-canary:' || :service, 0) "
    "AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class PostgresLeader:
    """Leads while it holds the lock and its heartbeat is written.

    Args:
        url: the journal's database.
    """

    def __init__(self, url: URL, service: str, clock: Clock) -> None:
        self.leading = False
        self.unknown = False
        self.epoch = 0
        self._service = service
        self._clock = clock
        self._address = driver_address(url, place="state.url")
        self._engine = create_async_engine(
            self._address.url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                **self._address.options,
                "timeout": _STATEMENT_SECONDS,
                "command_timeout": _STATEMENT_SECONDS,
            },
        )
        self._look_again_at = float("-inf")
        self._connection: AsyncConnection | None = None
        self._beat_at = 0.0
        self._using = asyncio.Lock()
        self._log = Log("leader")

    async def run(self) -> None:
        """Try to lead once a second, or say that we still do."""
        while True:
            await self.step()
            await self._clock.sleep(_BEAT_SECONDS)

    async def may_act(self) -> bool:
        """Whether our heartbeat is fresh; when it is not, whether it can be written now."""
        if not self.leading:
            return False
        if self._clock.monotonic() - self._beat_at < _TRUST_SECONDS:
            return True
        await self.step()
        return self.leading

    async def step(self) -> None:
        """Take the lock, or beat once; any trouble with the database ends our lead."""
        async with self._using:
            try:
                # What counts is when the beat was sent: it may have waited on its way.
                sent_at = self._clock.monotonic()
                leads = await (self._beat() if self.leading else self._take())
                self.unknown = False
            except (SQLAlchemyError, OSError, DatabaseUnavailableError) as error:
                self._log.warn("journal's database is unreachable", error=reason(error))
                leads = False
                self.unknown = True
                await self._hang_up()
            if leads != self.leading:
                self._log.info("leading" if leads else "no longer leading", epoch=self.epoch)
            self.leading = leads
            if leads:
                self._beat_at = sent_at

    async def close(self) -> None:
        """Give the lock back."""
        self.leading = False
        await self._hang_up()
        await self._engine.dispose()

    async def _take(self) -> bool:
        if self._connection is None:
            if not await self._lock_holds():
                return False
            self._connection = await self._engine.connect()
            await self._connection.execute(_TABLE)
        if not (await self._connection.execute(_LOCK, {"service": self._service})).scalar():
            await self._connection.execute(_END, {"service": self._service, "patience": _PATIENCE_SECONDS})
            return False
        self.epoch = int((await self._connection.execute(_TAKE, {"service": self._service})).scalar_one())
        return True

    async def _lock_holds(self) -> bool:
        """Whether a lock of ours would be ours: in a pooler's transaction mode it is whoever's comes next."""
        if self._clock.monotonic() < self._look_again_at:
            return False
        if await pooling(self._address, _STATEMENT_SECONDS) is not Pooling.TRANSACTION:
            return True
        self._look_again_at = self._clock.monotonic() + _POOLER_SECONDS
        self._log.error("no receiver can lead through a pooler in transaction mode", remedy=LEADER_REMEDY)
        return False

    async def _beat(self) -> bool:
        assert self._connection is not None  # leading
        result = await self._connection.execute(_BEAT, {"service": self._service, "epoch": self.epoch})
        return result.rowcount == 1

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError, OSError):
                await connection.invalidate()
                await connection.close()

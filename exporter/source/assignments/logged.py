"""Which version served a customer at a moment, by what `canary assignments` has kept of the router's log.

Its tables need not be in the order database, so no statement there can look anything up in them. As where the router's
hash is computed (`routed`), the database hands over each row's customer in place of a version, and the answer is given
here, from memory: assignments have growing ids, so that each look reads only those that are new.
"""

import hashlib
import re
from bisect import bisect_right
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from canary.database.url import read_database_url
from canary.errors import DatabaseUnavailableError
from canary.policy.model import Policy
from canary.secrets import read_secret
from exporter.source.assignments.routed import LEFT_OUT
from exporter.source.database import OrderDatabase, Session
from exporter.source.session import open_session

PLACE = "database.log.url"
LEFT_OUT_COLUMN = "left_out"
"""Of an assignment: whether the customer is a tester, or a machine."""
_HASH = re.compile(rb"[0-9a-f]{64}")
_AT_ONCE = 50_000
"""Rows of one question: below a second of any database, and some megabytes."""


def store_url(policy: Policy, *, read_only: bool = False) -> URL:
    """Where the follower keeps what it found.

    Raises:
        SecretError: a named secret cannot be read.
        DatabaseUnavailableError: the policy has no `database.log`, or its address is none of the two kinds.
    """
    given = policy.database.log
    if given is None:
        raise DatabaseUnavailableError("the policy has no database.log", place="database", remedy="add one")
    text = read_secret(PLACE, file=given.url_file, env=given.url_env, base=policy.base) or given.url
    url = read_database_url(text, place=PLACE, base=policy.base, read_only=read_only)
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise DatabaseUnavailableError(
            f"expected sqlite or postgresql, found {url.get_backend_name()}",
            place=PLACE,
            remedy="give one such as sqlite:///requests.db",
        )
    return url


def hashed_unit(unit: Any) -> str | None:
    """A customer as a log keeps them that is `hashed`, from a column that holds the customer or that very hash."""
    if unit is None:
        return None
    data = (
        bytes(unit) if isinstance(unit, bytes | bytearray | memoryview) else str(unit).encode(errors="surrogateescape")
    )
    return data.decode() if _HASH.fullmatch(data) else hashlib.sha256(data).hexdigest()


class LoggedVersions:
    """The follower's assignments in memory; it knows nothing before the first `look`.

    Args:
        session: with the follower's store.
        lateness_seconds: so long after a row its assignment may have begun.
        hashed: the store has the SHA-256 of each customer.
    """

    def __init__(self, session: Session, lateness_seconds: float, *, hashed: bool) -> None:
        self._session = session
        self._lateness_seconds = lateness_seconds
        self._hashed = hashed
        self._statement: sa.Select[Any] | None = None
        self._begin()

    @classmethod
    def of(cls, policy: Policy) -> "LoggedVersions":
        """Those of the policy's follower.

        Raises:
            SecretError, DatabaseUnavailableError: as `store_url`.
        """
        url = store_url(policy, read_only=True)
        session = open_session(OrderDatabase(url, "UTC", policy.database.statement_timeout))
        log = policy.database.log
        return cls(session, policy.database.lateness, hashed=log is not None and log.hashed)

    async def look(self) -> None:
        """Take over the assignments that are new.

        Raises:
            DatabaseError: the store cannot be read; what was known stays.
        """
        if self._statement is None:
            there = await self._session.columns(sa.select(sa.text("*")).select_from(_TABLE).where(sa.false()))
            self._statement = _new(marked=LEFT_OUT_COLUMN in there)
        while await self._look(self._statement):
            pass

    def version(self, unit: str | bytes | None, moment: float) -> str | None:
        """As `UnitVersions.version`; testers and machines are left out."""
        if unit is None:
            return None
        given = self._units.get(unit) if isinstance(unit, str) else None
        if given is None:  # most are there as they are, and a first start asks for each row
            data = unit.encode("utf-8", "surrogateescape") if isinstance(unit, str) else bytes(unit)
            given = self._units.get(data.decode("utf-8", "replace"))
            if given is None and self._hashed:
                given = self._units.get(hashlib.sha256(data).hexdigest())
        if given is None:
            return None
        at = bisect_right(given, moment, key=lambda one: one[0])
        if at:
            return given[at - 1][1]
        return given[0][1] if given[0][0] <= moment + self._lateness_seconds else None

    def same_for_all(self, _low: float, high: float) -> bool:
        """Whether nobody has a version, as nothing was logged yet."""
        return high + self._lateness_seconds < self._oldest

    def steady(self, low: float, high: float) -> bool:
        """As `same_for_all`: at any later moment somebody may have changed sides."""
        return self.same_for_all(low, high)

    async def close(self) -> None:
        """Let go of the store."""
        await self._session.close()

    def _begin(self) -> None:
        self._newest = 0
        self._oldest = float("inf")
        self._unversioned = False
        self._versions: dict[str, str] = {}
        self._units: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)

    async def _look(self, statement: sa.Select[Any]) -> bool:
        """Read some; whether there may be more."""
        rows = await self._session.rows(statement, {"newest": self._newest, "most": _AT_ONCE})
        if self._unversioned and any(row[2] is not None and not row[4] for row in rows):
            self._begin()  # a first rollout has begun, and said which version all rows before it had
            return True
        for number, unit, served, first_at, left_out in rows:
            self._newest = number
            version = LEFT_OUT if left_out else served
            if version is None:
                self._unversioned = True
                continue
            self._oldest = min(self._oldest, first_at)
            given = self._units[unit]
            given.append((first_at, self._versions.setdefault(version, version)))
            given.sort()
        return len(rows) == _AT_ONCE


_TABLE = sa.table(
    "canary_assignments",
    *(sa.column(name) for name in ("id", "unit", "version", "first_at", LEFT_OUT_COLUMN)),
)


def _new(*, marked: bool) -> sa.Select[Any]:
    """The assignments that are new; a follower of before the mark has not *marked* any."""
    left_out: sa.ColumnElement[Any] = _TABLE.c[LEFT_OUT_COLUMN] if marked else sa.null()
    return (
        sa.select(_TABLE.c.id, _TABLE.c.unit, _TABLE.c.version, _TABLE.c.first_at, left_out)
        .where(_TABLE.c.id > sa.bindparam("newest", type_=sa.BigInteger))
        .order_by(_TABLE.c.id)
        .limit(sa.bindparam("most", type_=sa.Integer))
    )

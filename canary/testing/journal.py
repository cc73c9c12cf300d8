"""A journal in memory: the table apart from those who read and write it, as a database is apart from its clients."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from canary.errors import JournalConflictError, JournalContentError
from canary.logs import Log
from canary.rollout.entries import Entry
from canary.rollout.folding import fold, newest
from canary.rollout.journal.journal import Journal
from canary.rollout.journal.rows import ROLLOUTS, Chain, read
from canary.rollout.state import Rollout
from canary.testing.hooks import Hook, calm
from canary.timing.times import to_text


class Table:
    """The rows, by service; what outlives every receiver.

    Attributes:
        appended: told of each entry that has become part of the journal.
        refuses: whether the database refuses an entry for what is in it.
    """

    def __init__(self) -> None:
        self.appended: Callable[[str, Entry], None] = lambda _service, _entry: None
        self.refuses: Callable[[Entry], bool] = lambda _: False
        self._rows: dict[str, list[Entry]] = {}
        self._newest = 0

    def entries(self, service: str) -> Sequence[Entry]:
        """All entries of a service, oldest first."""
        return self._rows.get(service, ())

    def newest(self, service: str) -> int:
        """The position of its newest entry, 0 when there is none."""
        rows = self._rows.get(service)
        return rows[-1].seq if rows else 0

    def insert(self, service: str, entry: Entry, chain: Chain) -> Entry:
        """Add a row, and read it again as everybody will: what cannot be stored and read is no entry."""
        self._newest += 1
        row: dict[str, Any] = {
            "seq": self._newest,
            "rollout": entry.rollout,
            "kind": entry.label,
            "at": to_text(entry.at),
            "actor": entry.actor,
            "reason": entry.reason,
            "data": json.dumps(entry.data(), sort_keys=True),
        }
        stored = read(row, json.loads(row["data"]), chain.kinds)
        self._rows.setdefault(service, []).append(stored)
        self.appended(service, stored)
        return stored

    def truncate(self, service: str, count: int) -> None:
        """Go back to an older copy, which has the first *count* rows."""
        del self._rows.get(service, [])[count:]
        self._newest = max((rows[-1].seq for rows in self._rows.values() if rows), default=0)


class MemoryJournal(Journal):
    """One client's journal.

    Args:
        before: what happens before an operation, `append` or `entries`: raises JournalError while the table is away.
        after: what happens between the operation and its answer: what is lost there was written nevertheless.
    """

    def __init__(
        self, table: Table, service: str, chain: Chain = ROLLOUTS, *, before: Hook = calm, after: Hook = calm
    ) -> None:
        self._table = table
        self._service = f"{service}/{chain.name}" if chain.name else service
        self._chain = chain
        self._log = Log("journal")
        self._before = before
        self._after = after

    async def _append(self, entry: Entry, after: Entry | int | None) -> Entry:
        await self._before("append")
        rows = self._table.entries(self._service)
        newest = rows[-1].seq if rows else 0
        follows = rows and rows[-1].identity == after.identity if isinstance(after, Entry) else after in (None, newest)
        if not follows:
            raise JournalConflictError(
                "somebody else wrote meanwhile", place="journal", remedy="look again and decide anew"
            )
        if self._table.refuses(entry):
            raise JournalContentError("the database refuses this text", place="journal")
        stored = self._table.insert(self._service, entry, self._chain)
        await self._after("append")
        return replace(entry, seq=stored.seq)

    async def entries(self, rollout: str | None = None, *, after: int = 0) -> Sequence[Entry]:
        """All entries, or one rollout's, that come after a position, oldest first."""
        await self._before("entries")
        rows = self._table.entries(self._service)
        start = len(rows)
        while start and rows[start - 1].seq > after:
            start -= 1
        found = [entry for entry in rows[start:] if rollout in (None, entry.rollout)]
        await self._after("entries")
        return found

    async def current(self) -> Rollout | None:
        """The newest rollout; None before the first."""
        return newest(fold(await self.entries()))

    async def position(self) -> int:
        """Position of the newest entry, 0 when there is none."""
        await self._before("entries")
        return self._table.newest(self._service)

    async def probe(self) -> None:
        """Whether an entry could be written."""
        await self._before("append")

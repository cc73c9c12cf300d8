"""What was lowered and is not in the journal yet, remembered in a file until it is.

A rollback that the journal cannot take is carried out at once. If the process died before the journal was back, the
next one would read an old journal and raise the canary again: seen with a full disk and a kill. So whatever is acted
upon without the journal is put into a file as well (`canary.rollout.store.sidefile`), and taken up again at the start.

Several receivers on one machine may share the file. Each adds and takes away only what it knows of itself; what another
one remembers is left alone, and is read by all: it is true whoever decided it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from canary.rollout.entries import Entry, Unknown
from canary.rollout.journal.rows import KINDS, read
from canary.rollout.store.sidefile import SideFile
from canary.timing.times import to_text

# What can be decided without a journal is a rollback or a hold or two; more are a fault, and the newest say all.
_MOST_ENTRIES = 20

Row = Mapping[str, Any]


class Marker:
    """Remembers unwritten entries."""

    def __init__(self, file: SideFile) -> None:
        self._file = file
        self._lock = asyncio.Lock()
        self._mine: set[tuple[str, str, str]] = set()
        self._writing: set[asyncio.Task[None]] = set()

    async def recall(self) -> list[Entry]:
        """What was remembered and is not resolved yet, oldest first."""
        found = [_entry(row) for row in _rows(await self._file.read())]
        entries = [entry for entry in found if not isinstance(entry, Unknown)]
        self._mine |= {_identity(entry) for entry in entries}
        return entries

    def keep(self, entries: Sequence[Entry]) -> None:
        """Remember exactly these, next to what others remember; returns at once."""
        self._mine |= {_identity(entry) for entry in entries}
        task = asyncio.ensure_future(self._keep([_row(entry) for entry in entries]))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def written(self) -> None:
        """Return when everything is remembered durably."""
        while self._writing:
            await asyncio.gather(*self._writing)

    async def close(self) -> None:
        """Remember what is left to be remembered."""
        await self.written()
        self._file.close()

    async def _keep(self, rows: list[Row]) -> None:
        async with self._lock:
            others = [row for row in _rows(await self._file.read()) if _identity(_entry(row)) not in self._mine]
            await self._file.write([*others, *rows][-_MOST_ENTRIES:])


def _identity(entry: Entry) -> tuple[str, str, str]:
    return entry.rollout, entry.label, to_text(entry.at)


def _row(entry: Entry) -> Row:
    common = {"rollout": entry.rollout, "kind": entry.label, "at": to_text(entry.at), "actor": entry.actor}
    return {**common, "reason": entry.reason, "data": entry.data()}


def _rows(data: object) -> list[Row]:
    rows = data if isinstance(data, list) else []
    return [row for row in rows if isinstance(row, dict) and {"rollout", "kind", "at", "actor", "reason"} <= row.keys()]


def _entry(row: Row) -> Entry:
    return read({**row, "seq": 0, "data": str(row.get("data"))}, row.get("data"), KINDS)

"""The one place where the rollout changes: wishes become journal entries, one after the other, before anything acts."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime

from canary.clock import Clock
from canary.errors import JournalConflictError, JournalError, RefusedError
from canary.journal import Journal
from canary.logs import Log
from canary.rollout import Entry, Kind, Rollout, fold

Wish = Callable[[Rollout | None], Entry]
"""From the rollout as it is to the entry that should come next; raises RefusedError when it does not fit."""

Listener = Callable[[Entry], None]

_ATTEMPTS = 5

# Under a flood of foreign alerts the journal is asked for news no more often than this.
_NEWS_SECONDS = 0.1


class Guard:
    """Keeps the rollout as the journal has it, and appends to it.

    When the journal cannot be written, what protects customers happens all the same: an urgent entry is kept in
    memory, acted upon, and written as soon as the journal takes it.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self.clock = clock
        self._log = Log("receiver")
        self._lock = asyncio.Lock()
        self._position = 0
        self._caught_up_at = float("-inf")
        self._next_look: asyncio.Task[None] | None = None
        self._rollout: Rollout | None = None
        self._unwritten: list[Entry] = []
        self._listeners: list[Listener] = []

    @property
    def rollout(self) -> Rollout | None:
        """The newest rollout, with what could not be written yet; None before the first."""
        return fold(self._unwritten, self._rollout)

    @property
    def unwritten(self) -> bool:
        """Whether something decided is not in the journal yet."""
        return bool(self._unwritten)

    @property
    def pending(self) -> list[Entry]:
        """What is acted upon although it could not be written yet."""
        return list(self._unwritten)

    def listen(self, listener: Listener) -> None:
        """Call *listener* with every entry from now on, also with those that another receiver wrote."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Call *listener* no more."""
        self._listeners.remove(listener)

    async def refresh(self) -> None:
        """Take over what is new in the journal, and write what could not be written before.

        Raises:
            JournalError: it cannot be read or written.
        """
        async with self._lock:
            await self._catch_up()
            await self._flush()
            self._caught_up_at = self.clock.monotonic()

    async def catch_up(self) -> None:
        """As `refresh`, for a decision that hangs on what another receiver may just have written.

        Callers that come close together share one look. Trouble with the journal is left to whoever must write into
        it.
        """
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look_soon())
        await asyncio.shield(self._next_look)

    async def _look_soon(self) -> None:
        await self.clock.sleep(max(0.0, self._caught_up_at + _NEWS_SECONDS - self.clock.monotonic()))
        # Whoever asks from here on may need what is written after this look.
        self._next_look = None
        with contextlib.suppress(JournalError):
            await self.refresh()

    async def submit(self, wish: Wish, *, urgent: bool = False) -> Entry:
        """Append what the wish makes of the rollout as it is.

        Args:
            urgent: act on it even when the journal cannot be written (only ever for what lowers traffic).

        Raises:
            RefusedError: the wish does not fit the rollout's state.
            JournalError: the entry is not in the journal; when urgent it is acted upon nevertheless.
        """
        async with self._lock:
            for _ in range(_ATTEMPTS):
                entry = wish(self.rollout)
                try:
                    await self._flush()
                    written = await self._journal.append(entry, after=self._position)
                except JournalConflictError:
                    await self._catch_up()
                    continue
                except JournalError as error:
                    if urgent:
                        self._unwritten.append(entry)
                        self._log.error("acting without journal", exception=error, kind=entry.kind.value)
                        self._tell(entry)
                    raise
                self._take(written)
                return written
            raise JournalConflictError("journal: others keep writing; look again and decide anew")

    async def entries(self, rollout: str | None = None) -> list[Entry]:
        """The journal's entries, oldest first, with those that could not be written yet.

        Raises:
            JournalError: it cannot be read.
        """
        pending = [entry for entry in self._unwritten if rollout in (None, entry.rollout)]
        return [*await self._journal.entries(rollout), *pending]

    async def _flush(self) -> None:
        while self._unwritten:
            written = await self._journal.append(self._unwritten[0], after=self._position)
            self._unwritten.pop(0)
            self._position = written.seq
            self._rollout = fold([written], self._rollout)

    async def _catch_up(self) -> None:
        for entry in await self._journal.entries(after=self._position):
            self._take(entry)
        self._unwritten = [entry for entry in self._unwritten if self._still_wanted(entry)]

    def _still_wanted(self, entry: Entry) -> bool:
        return self._rollout is not None and self._rollout.id == entry.rollout and self._rollout.running

    def _take(self, entry: Entry) -> None:
        self._position = entry.seq
        self._rollout = fold([entry], self._rollout)
        self._tell(entry)

    def _tell(self, entry: Entry) -> None:
        for listener in self._listeners:
            listener(entry)


def note(rollout: str, at: datetime, actor: str, key: str, reason: str, **data: object) -> Wish:
    """The wish to write a note once per rollout; refused when a note with this key has been made."""

    def wish(current: Rollout | None) -> Entry:
        if current is None or current.id != rollout:
            raise RefusedError(f"no rollout {rollout}")
        if key in current.noted:
            raise RefusedError(f"{key} has been noted")
        return Entry(rollout, Kind.NOTED, at, actor, reason, {"key": key, **data})

    return wish

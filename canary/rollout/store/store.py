"""The one place where a rollout changes: `propose` compares what the caller saw, and appends, before anything acts.

The journal's chain refuses a second entry after the same one, so two writers never decide from the same past. Under the
lock of this process the newest entries are folded (`reader`), what the caller saw is held against them, the command
makes its entry, and the append succeeds only if nothing was written meanwhile by another process; otherwise all of it
is done again from what is there now.

What lowers traffic goes through the `writer`'s queue instead, which acts although the journal does not answer. Until it
is written it is *unwritten*: part of the rollout as this process sees it, and of what it tells others.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from canary.errors import JournalConflictError, JournalError, RefusedError
from canary.rollout.commands.amending import Amend
from canary.rollout.commands.commands import Adopt, Advance, Command, Promote, Resume
from canary.rollout.commands.finishing import Finish, FinishStep
from canary.rollout.commands.records import Memory
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Entry, RollbackDecided
from canary.rollout.folding import fold, newest
from canary.rollout.journal.journal import Journal
from canary.rollout.journal.texts import storable
from canary.rollout.kinds import Cause
from canary.rollout.state import Rollout
from canary.rollout.store.absence import Absence
from canary.rollout.store.marker import Marker
from canary.rollout.store.reader import JournalReader, Listener
from canary.rollout.store.recalled import UNKNOWN
from canary.rollout.store.unwritten import Pending, Unwritten, followed_by
from canary.rollout.store.writer import ATTEMPTS, JournalWriter, crowded
from canary.timing.clock import Clock

# Under a flood of foreign alerts the journal is asked for news no more often than this.
_NEWS_SECONDS = 0.1

# They lead to more traffic, now or later.
_RAISING = (Advance, Amend, Promote, Resume, Finish, FinishStep)


class RolloutStore:
    """The rollouts as the journal has them, and the only way to change one.

    Args:
        marker: remembers over a restart what could not be written.
    """

    def __init__(self, journal: Journal, clock: Clock, marker: Marker | None = None) -> None:
        self.clock = clock
        self._unwritten = Unwritten(marker)
        self._lock = asyncio.Lock()
        self._reader = JournalReader(journal)
        self._writer = JournalWriter(self._reader, self._lock, self._unwritten)
        self._caught_up_at = float("-inf")
        self._absence = Absence(clock)
        self._next_look: asyncio.Task[None] | None = None

    @property
    def fault(self) -> str:
        """Why the journal cannot be what was decided; empty once it has been read, and as long as it only grows."""
        return self._reader.fault

    @property
    def rollouts(self) -> dict[str, Rollout]:
        """All rollouts by id, in the order of their starts, with what could not be written yet."""
        unwritten = self.unwritten
        return fold(unwritten, self._reader.rollouts) if unwritten else self._reader.rollouts

    @property
    def rollout(self) -> Rollout | None:
        """The newest rollout, with what could not be written yet; None before the first."""
        return newest(self.rollouts)

    @property
    def unwritten(self) -> list[Entry]:
        """What is acted upon although it could not be written yet."""
        return self._unwritten.entries

    @property
    def waiting(self) -> bool:
        """Whether something waits for a journal that is away; what it refuses for ever does not count."""
        return bool(self._unwritten.pending)

    @property
    def unwritable(self) -> tuple[Entry, ...]:
        """What is acted upon, and is in the journal in no form, for the journal refuses what it says."""
        return tuple(self._unwritten.refused)

    @property
    def unread(self) -> str:
        """Which rows since the newest start are not understood though they may decide; empty when there are none.

        What the rollout is now is not known then, and what is not known raises nothing: the row may be a hold, or the
        start of another rollout.
        """
        return self._reader.unread

    @property
    def settling(self) -> bool:
        """Whether the journal has only just come back, so that what others lowered without it may be missing."""
        return self._absence.lately

    def listen(self, listener: Listener) -> None:
        """Call *listener* with every entry from now on, also with those that another receiver wrote."""
        self._reader.listen(listener)

    def forget(self, listener: Listener) -> None:
        """Call *listener* no more."""
        self._reader.forget(listener)

    async def propose(
        self, seen: Seen | None, command: Command, *, request: str = "", require: Callable[[], None] = lambda: None
    ) -> Entry:
        """Append what the command is in the rollout's present state.

        Args:
            seen: what the caller saw; None where it means whatever rollout is there now. Of a command that lowers or
                holds only the rollout is compared.
            request: the caller's own key for this command; when it has been used, the first result is given again.
                What lowers is carried out all the same when the key was used for another rollout.
            require: raises RefusedError where what does not lower may not be, asked with all that is in the journal.

        Raises:
            RefusedError: the command does not fit, or what was seen is no longer so; nothing was changed.
            JournalError: the entry is not in the journal; what lowers or holds is acted upon nevertheless.
        """
        if command.lowers:
            return await self._lower(seen, command, request)
        async with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    await self._writer.flush()
                    known = self._reader.requests.first_result(request, command, seen or Seen.of(self.rollout))
                    if known is not None:
                        return known
                    entry = self._entry(seen, command, request)
                    require()
                    return await self._writer.append(entry)
                except JournalConflictError:
                    await self._reader.catch_up()
        raise crowded()

    def answered(self, request: str) -> bool:
        """Whether a command with this key has been carried out."""
        return request in self._reader.requests

    async def refresh(self, *, within_seconds: float | None = None) -> None:
        """Take over what is new in the journal, and write what could not be written before.

        Args:
            within_seconds: how long to wait for others' turns, and then for the journal; None waits for as long as it
                takes.

        Raises:
            JournalError: it cannot be read or written, or not in time.
        """
        try:
            async with asyncio.timeout(within_seconds):
                await self._lock.acquire()
        except TimeoutError:
            raise self._late() from None
        renewing = asyncio.ensure_future(self._renew())
        renewing.add_done_callback(self._renewed)
        await asyncio.wait({renewing}, timeout=within_seconds)
        if not renewing.done():
            self._absence.begin()
            raise self._late()
        await renewing

    async def _renew(self) -> None:
        try:
            await self._reader.renew()
        except JournalError:
            self._absence.begin()
            raise
        self._absence.end()
        self._resume_recalled()
        await self._writer.flush()
        self._caught_up_at = self.clock.monotonic()

    def _renewed(self, renewing: asyncio.Future[None]) -> None:
        self._lock.release()
        if not renewing.cancelled():
            renewing.exception()  # nobody may be waiting for it any more

    @staticmethod
    def _late() -> JournalError:
        return JournalError("it does not answer in time", place="journal", remedy="see what its database waits for")

    def lowered_blind(self, *, actor: str, reason: str) -> Entry:
        """Routers were sent to stable although nobody knows which rollout runs: it counts for the one that is found."""
        at = self.clock.now()
        decided = RollbackDecided(rollout=UNKNOWN, at=at, actor=actor, reason=reason, cause=Cause.MANUAL)
        entry = storable(decided)
        self._unwritten.found(entry)
        return entry

    async def adopt(self, command: Adopt, *, request: str = "") -> Entry:
        """Write what a person says is in force after the journal as it is now: from then on that is the whole story.

        Until it is written nothing is otherwise than before: the doubt lasts, and what was lowered stays so.

        Raises:
            RefusedError: the command does not fit.
            JournalError: it is not in the journal.
        """
        async with self._lock:
            for _ in range(ATTEMPTS):
                entries = await self._reader.journal.entries()
                now = JournalReader(self._reader.journal)
                now.begin(entries)
                rollout = newest(now.rollouts)
                with contextlib.suppress(JournalConflictError):
                    written = now.requests.first_result(request, command, Seen.of(rollout))
                    if written is None:
                        written = await now.journal.append(self._stamped(command, rollout, request), after=now.end)
                    self._unwritten.forget()
                    self._reader.begin(entries)
                    if written.seq > self._reader.position:
                        self._reader.take(written)
                    return written
        raise crowded()

    def remember(self, marker: Marker) -> None:
        """From now on, remember over a restart what cannot be written."""
        self._unwritten.marker = marker

    async def recall(self) -> None:
        """Take up what was lowered and not written before this process began.

        It is in force, and is written, as soon as the journal is read and shows the rollout that it is about.
        """
        await self._unwritten.recall()
        self._resume_recalled()

    async def close(self) -> None:
        """Let the journal's last answer come, as long as it may take when nobody hangs."""
        await self._writer.close()

    async def catch_up(self) -> None:
        """As `refresh`, for a decision that hangs on what another receiver may just have written.

        Callers that come close together share one look. Trouble with the journal is left to whoever must write into
        it.
        """
        self._next_look = self._next_look or asyncio.create_task(self._look_soon())
        await asyncio.shield(self._next_look)

    async def entries(self, rollout: str | None = None, *, after: int = 0) -> list[Entry]:
        """The journal's entries, oldest first, with those that could not be written yet.

        Raises:
            JournalError: it cannot be read.
        """
        unwritten = [entry for entry in self.unwritten if rollout in (None, entry.rollout)]
        return followed_by(await self._reader.journal.entries(rollout, after=after), unwritten)

    async def _look_soon(self) -> None:
        await self.clock.sleep(max(0.0, self._caught_up_at + _NEWS_SECONDS - self.clock.monotonic()))
        # Whoever asks from here on may need what is written after this look.
        self._next_look = None
        with contextlib.suppress(JournalError):
            await self.refresh()

    def _resume_recalled(self) -> None:
        if self._reader.rollouts and self._unwritten.recalled:
            for pending in self._unwritten.take_recalled(self.rollout):
                self._writer.act(pending)
            self._unwritten.remember()

    async def _lower(self, seen: Seen | None, command: Command, request: str) -> Entry:
        meant = seen or Seen.of(self.rollout)
        known = self._reader.requests.first_result(request, command, meant)
        if known is not None:
            return known
        pending = self._unwritten.waiting(meant.rollout, request)
        if pending is None:
            pending = Pending(self._entry(seen, command, request), command)
            self._unwritten.pending.append(pending)
        return await self._writer.lower(pending)

    def _entry(self, seen: Seen | None, command: Command, request: str) -> Entry:
        rollout = self.rollouts.get(command.rollout) if isinstance(command, Memory) else self.rollout
        if seen is not None and command.looked:
            seen.require(rollout, rollout_only=command.lowers or command.rollout_only)
        if self.unread and isinstance(command, _RAISING):
            raise RefusedError(
                self.unread,
                place="cannot raise the canary's weight",
                remedy="let the version that wrote it go on, or `canary rollback --reason TEXT`",
            )
        return self._stamped(command, rollout, request)

    def _stamped(self, command: Command, rollout: Rollout | None, request: str) -> Entry:
        # Cleaned here already, because what is acted upon before it is written is shown before it is written.
        entry = storable(command.entry(rollout, self.clock.now()))
        return replace(entry, request=request, boot=self.clock.boot, uptime_seconds=self.clock.monotonic())

"""The one place where a rollout changes: `propose` compares what the caller saw, and appends, before anything acts.

The journal's chain refuses a second entry after the same one, so two writers never decide from the same past. Under the
lock of this process the newest entries are folded, what the caller saw is held against them, the command makes its
entry, and the append succeeds only if nothing was written meanwhile by another process; otherwise all of it is done
again from what is there now.

What lowers traffic must not wait for a disk or a database that hangs. It is given a moment to be written first, as
everything is; when the moment is over, or the writing fails, it is acted upon, and written as soon as the journal takes
it. Until then it is *unwritten*: part of the rollout as this process sees it, and of what it tells others.

That the journal refuses what an entry *says* is another thing than a journal that is away: waiting does not help, and
would keep back whatever is decided afterwards. Such an entry leaves the queue. What lowers by it is acted upon for as
long as its rollout is the newest, and what was decided is said in the log and in the status.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from canary.clock import Clock
from canary.errors import JournalConflictError, JournalContentError, JournalError, RefusedError
from canary.logs import Log
from canary.rollout.commands import Advance, Command, Promote, Resume
from canary.rollout.entries import Adopted, Entry, RollbackDecided, Started, Unknown
from canary.rollout.folding import fold, newest
from canary.rollout.journal.journal import Journal
from canary.rollout.journal.texts import storable
from canary.rollout.kinds import Cause
from canary.rollout.records import Memory
from canary.rollout.seen import Seen
from canary.rollout.state import Rollout
from canary.rollout.store.marker import Marker
from canary.rollout.store.pending import Pending
from canary.rollout.store.recalled import UNKNOWN
from canary.rollout.store.requests import Requests
from canary.rollout.store.unwritten import Unwritten

Listener = Callable[[Entry], None]

# Each attempt is lost to another process that has written something; more than that many in a row are not others'
# decisions but a fault.
_ATTEMPTS = 20

# Under a flood of foreign alerts the journal is asked for news no more often than this.
_NEWS_SECONDS = 0.1

# A healthy journal answers within milliseconds. What lowers traffic waits for it no longer than this, so that routers
# are told well within a second although a database hangs.
_PATIENCE_SECONDS = 0.25

_NOT_READ = "the journal has not been read yet"
_CANNOT_BE_READ = "the journal cannot be read"

# What is acted upon already is answered with "not written yet" after this: workers that wait for the same database may
# be first in line one after the other, and a person wants to know.
_ANSWER_SECONDS = 5.0

# They lead to more traffic, now or later.
_RAISING = (Advance, Promote, Resume)


class RolloutStore:
    """The rollouts as the journal has them, and the only way to change one.

    Args:
        marker: remembers over a restart what could not be written.

    Attributes:
        fault: why the journal cannot be what was decided; empty once it has been read, and as long as it only grows.
    """

    def __init__(self, journal: Journal, clock: Clock, marker: Marker | None = None) -> None:
        self.clock = clock
        self.fault = _NOT_READ
        self._unwritten = Unwritten(marker)
        self._journal = journal
        self._log = Log("receiver")
        self._lock = asyncio.Lock()
        self._position = 0
        self._caught_up_at = float("-inf")
        self._next_look: asyncio.Task[None] | None = None
        self._rollouts: dict[str, Rollout] = {}
        self._requests = Requests()
        self._unread: list[Unknown] = []
        self._writing: set[asyncio.Future[Entry]] = set()
        self._listeners: list[Listener] = []

    @property
    def rollouts(self) -> dict[str, Rollout]:
        """All rollouts by id, in the order of their starts, with what could not be written yet."""
        unwritten = self.unwritten
        return fold(unwritten, self._rollouts) if unwritten else self._rollouts

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
        if not self._unread:
            return ""
        first = self._unread[0]
        more = f", and {len(self._unread) - 1} more" if len(self._unread) > 1 else ""
        return f"row {first.seq} of the journal, {first.label[:32]!a}, is not understood ({first.fault}){more}"

    def listen(self, listener: Listener) -> None:
        """Call *listener* with every entry from now on, also with those that another receiver wrote."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Call *listener* no more."""
        self._listeners.remove(listener)

    async def propose(self, seen: Seen | None, command: Command, *, request: str = "") -> Entry:
        """Append what the command is in the rollout's present state.

        Args:
            seen: what the caller saw; None where it means whatever rollout is there now. Of a command that lowers or
                holds only the rollout is compared.
            request: the caller's own key for this command; when it has been used, the first result is given again.
                What lowers is carried out all the same when the key was used for another rollout.

        Raises:
            RefusedError: the command does not fit, or what was seen is no longer so; nothing was changed.
            JournalError: the entry is not in the journal; what lowers or holds is acted upon nevertheless.
        """
        if command.lowers:
            return await self._lower(seen, command, request)
        async with self._lock:
            for _ in range(_ATTEMPTS):
                try:
                    await self._flush()
                    known = self._requests.first_result(request, command, seen or Seen.of(self.rollout))
                    return known or await self._append(self._entry(seen, command, request))
                except JournalConflictError:
                    await self._catch_up()
        raise self._crowded()

    def answered(self, request: str) -> bool:
        """Whether a command with this key has been carried out."""
        return request in self._requests

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
            raise self._late()
        await renewing

    async def _renew(self) -> None:
        try:
            await self._catch_up()
            await self._require_all()
        except JournalConflictError:
            raise
        except JournalError as error:
            if self.fault == _NOT_READ or self.fault.startswith(_CANNOT_BE_READ):
                self.fault = f"{_CANNOT_BE_READ} ({error})"
            raise
        self._resume_recalled()
        await self._flush()
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

    async def begin_again(self) -> None:
        """Take the journal as it is now for the whole story, although more was read from it before.

        Raises:
            JournalError: it cannot be read.
        """
        async with self._lock:
            entries = await self._journal.entries()
            self._position = entries[-1].seq if entries else 0
            self._rollouts = fold(entries)
            self._unwritten.forget()
            self.fault = ""

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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS), self._lock:
                """Whoever reads or writes holds it until then."""

    async def catch_up(self) -> None:
        """As `refresh`, for a decision that hangs on what another receiver may just have written.

        Callers that come close together share one look. Trouble with the journal is left to whoever must write into
        it.
        """
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look_soon())
        await asyncio.shield(self._next_look)

    async def entries(self, rollout: str | None = None, *, after: int = 0) -> list[Entry]:
        """The journal's entries, oldest first, with those that could not be written yet.

        Raises:
            JournalError: it cannot be read.
        """
        unwritten = [entry for entry in self.unwritten if rollout in (None, entry.rollout)]
        return [*await self._journal.entries(rollout, after=after), *unwritten]

    async def _look_soon(self) -> None:
        await self.clock.sleep(max(0.0, self._caught_up_at + _NEWS_SECONDS - self.clock.monotonic()))
        # Whoever asks from here on may need what is written after this look.
        self._next_look = None
        with contextlib.suppress(JournalError):
            await self.refresh()

    async def _require_all(self) -> None:
        """Notice a journal that has lost what was read from it: another file, an older copy, a table made anew."""
        newest = await self._journal.position()
        if newest < self._position:
            self.fault = (
                f"the journal is older than what was read from it before (position {newest}, known up to "
                f"{self._position})"
            )
        else:
            self.fault = ""

    def _resume_recalled(self) -> None:
        if not self._rollouts or not self._unwritten.recalled:
            return
        for pending in self._unwritten.take_recalled(self.rollout):
            self._act(pending)
        self._unwritten.remember()

    async def _lower(self, seen: Seen | None, command: Command, request: str) -> Entry:
        known = self._requests.first_result(request, command, seen or Seen.of(self.rollout))
        if known is not None:
            return known
        pending = self._unwritten.waiting((seen or Seen.of(self.rollout)).rollout, request)
        if pending is None:
            pending = Pending(self._entry(seen, command, request), command)
            self._unwritten.pending.append(pending)
        writing = asyncio.ensure_future(self._write(pending))
        self._writing.add(writing)
        writing.add_done_callback(self._wrote)
        try:
            await asyncio.wait({writing}, timeout=_PATIENCE_SECONDS)
            if not writing.done():
                self._act(pending)
                await asyncio.wait({writing}, timeout=_ANSWER_SECONDS)
            return await writing if writing.done() else self._owe(pending)
        except JournalError:
            self._act(pending)
            raise

    @staticmethod
    def _owe(pending: Pending) -> Entry:
        """Answer before it is written."""
        raise JournalError(
            f"{pending.entry.label} of rollout {pending.entry.rollout} is acted upon, and not written yet",
            place="journal",
            remedy="it is written as soon as the journal answers",
        )

    def _wrote(self, writing: asyncio.Future[Entry]) -> None:
        self._writing.discard(writing)
        if not writing.cancelled():
            writing.exception()  # nobody may be waiting for it any more

    async def _write(self, pending: Pending) -> Entry:
        async with self._lock:
            for _ in range(_ATTEMPTS):
                try:
                    await self._flush()
                except JournalConflictError:
                    await self._catch_up()
                if pending.refused is not None:
                    raise pending.refused
                if pending.written is not None:
                    return pending.written
        raise self._crowded()

    def _act(self, pending: Pending) -> None:
        """Let it count although it is not written."""
        if pending.acted or pending.refused is not None or pending.written is not None:
            return
        pending.acted = True
        self._log.error("acting without the journal", kind=pending.entry.label, rollout=pending.entry.rollout)
        self._tell(pending.entry)
        # After the routers have been told: nothing comes before customers.
        self._unwritten.remember()

    def _entry(self, seen: Seen | None, command: Command, request: str) -> Entry:
        rollout = self.rollouts.get(command.rollout) if isinstance(command, Memory) else self.rollout
        if seen is not None and command.looked:
            seen.require(rollout, rollout_only=command.lowers)
        if self._unread and isinstance(command, _RAISING):
            raise RefusedError(
                self.unread,
                place="cannot raise the canary's weight",
                remedy="let the version that wrote it go on, or `canary rollback --reason TEXT`",
            )
        # Cleaned here already, because what is acted upon before it is written is shown before it is written.
        entry = storable(command.entry(rollout, self.clock.now()))
        return replace(entry, request=request, boot=self.clock.boot, uptime_seconds=self.clock.monotonic())

    async def _append(self, entry: Entry) -> Entry:
        written = await self._journal.append(entry, after=self._position)
        self.fault = ""
        if isinstance(written, Adopted):
            # A person has said what is in force, after whatever was done without knowing.
            self._unwritten.forget_blind()
        self._take(written)
        return written

    async def _flush(self) -> None:
        """Write what waits to be written, oldest first; what is no longer wanted by then is dropped."""
        waiting = self._unwritten.pending
        while waiting:
            pending = waiting[0]
            # When the database took the entry and its answer was lost, it is there by now, and is no reason to refuse.
            known = self._requests.result_of(pending.entry)
            if known is not None:
                pending.written = known
                waiting.remove(pending)
                continue
            pending.refused = self._refused(pending)
            written: Entry | None = None
            if pending.refused is None:
                try:
                    written = pending.written = await self._journal.append(pending.entry, after=self._position)
                except JournalContentError as error:
                    self._act(pending)
                    self._unwritten.refused.append(pending.entry)
                    pending.written = pending.entry
                    self._log.error("decided, and in no form taken by the journal", exception=error)
            waiting.remove(pending)
            if written is not None:
                self._take(written, told=pending.acted)
            if pending.acted:
                self._unwritten.remember()

    def _refused(self, pending: Pending) -> RefusedError | None:
        """Why an entry must not be written any more: its rollout is over, or another one says the same already."""
        rollout = newest(self._rollouts)
        if rollout is None or rollout.id != pending.entry.rollout:
            return RefusedError(f"rollout {pending.entry.rollout} is not the present one any more")
        try:
            pending.command.entry(rollout, pending.entry.at)
        except RefusedError as error:
            return error
        return None

    async def _catch_up(self) -> None:
        for entry in await self._journal.entries(after=self._position):
            self._take(entry)

    def _take(self, entry: Entry, *, told: bool = False) -> None:
        self._position = entry.seq
        self._rollouts = fold([entry], self._rollouts)
        if isinstance(entry, Started):
            self._unwritten.refused.clear()
            self._unread = []
        elif isinstance(entry, Unknown) and entry.may_decide:
            self._unread.append(entry)
            self._log.error("journal row not understood", row=entry.seq, kind=entry.label, fault=entry.fault)
        self._requests.remember(entry)
        if not told:
            self._tell(entry)

    def _tell(self, entry: Entry) -> None:
        for listener in self._listeners:
            listener(entry)

    def _crowded(self) -> JournalConflictError:
        return JournalConflictError("others keep writing", place="journal", remedy="look again and decide anew")

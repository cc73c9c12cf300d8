"""Writing into the journal, and acting without it where traffic is lowered and the journal does not answer.

What lowers traffic must not wait for a disk or a database that hangs. It is given a moment to be written first, as
everything is; when the moment is over, or the writing fails, it is acted upon, and written as soon as the journal takes
it. Until then it stands in a queue, and whatever is decided afterwards is written behind it: a resume that overtook the
rollback before it would raise what was lowered.

Right before an entry of the queue is written, its command is asked again, because another receiver may have done the
same meanwhile, or begun the next rollout. What is not wanted any more leaves the queue.

That the journal refuses what an entry *says* is another thing than a journal that is away: waiting does not help, and
would keep back whatever is decided afterwards. Such an entry leaves the queue too. What lowers by it is acted upon for
as long as its rollout is the newest, and what was decided is said in the log and in the status.
"""

import asyncio
import contextlib

from canary.errors import JournalConflictError, JournalContentError, JournalError, RefusedError
from canary.logs import Log
from canary.rollout.entries import Entry, Started
from canary.rollout.folding import newest
from canary.rollout.store.reader import JournalReader
from canary.rollout.store.unwritten import Pending, Unwritten

# Each attempt is lost to another process that has written something; more than that many in a row are not others'
# decisions but a fault.
ATTEMPTS = 20

# A healthy journal answers within milliseconds. What lowers traffic waits for it no longer than this, so that routers
# are told well within a second although a database hangs.
_PATIENCE_SECONDS = 0.25

# What is acted upon already is answered with "not written yet" after this: workers that wait for the same database may
# be first in line one after the other, and a person wants to know.
_ANSWER_SECONDS = 5.0


class JournalWriter:
    """Writes entries in the order in which they were decided.

    Args:
        lock: held by whoever reads or writes the journal.
        unwritten: the queue.
    """

    def __init__(self, reader: JournalReader, lock: asyncio.Lock, unwritten: Unwritten) -> None:
        self._reader = reader
        self._lock = lock
        self._unwritten = unwritten
        self._writing: set[asyncio.Future[Entry]] = set()
        self._log = Log("receiver")
        reader.listen(self._heard)

    async def append(self, entry: Entry) -> Entry:
        """Write an entry that must be in the journal before anything acts; the caller holds the lock.

        Raises:
            JournalConflictError: another process has written meanwhile.
            JournalError: it is not in the journal.
        """
        written = await self._reader.journal.append(entry, after=self._reader.end)
        self._reader.fault = ""
        self._reader.take(written)
        return written

    async def lower(self, pending: Pending) -> Entry:
        """Write an entry of the queue soon, or act upon it without.

        Raises:
            RefusedError: it is no longer wanted.
            JournalError: it is acted upon, and not written yet.
        """
        writing = asyncio.ensure_future(self._write(pending))
        self._writing.add(writing)
        writing.add_done_callback(self._wrote)
        try:
            await asyncio.wait({writing}, timeout=_PATIENCE_SECONDS)
            if not writing.done():
                self.act(pending)
                await asyncio.wait({writing}, timeout=_ANSWER_SECONDS)
            return await writing if writing.done() else self._owe(pending)
        except JournalError:
            self.act(pending)
            raise

    def act(self, pending: Pending) -> None:
        """Let an entry count although it is not written."""
        if pending.acted or pending.settled:
            return
        pending.acted = True
        self._log.error("acting without the journal", kind=pending.entry.label, rollout=pending.entry.rollout)
        self._reader.tell(pending.entry)
        # After the routers have been told: nothing comes before customers.
        self._unwritten.remember()

    async def flush(self, last: Pending | None = None) -> None:
        """Write what waits to be written, oldest first; the caller holds the lock.

        Args:
            last: what stands behind it is left, for trouble with that is no answer about this one.

        Raises:
            JournalConflictError: another process has written meanwhile.
            JournalError: the journal does not take the first of them.
        """
        waiting = self._unwritten.pending
        if waiting and self._reader.doubted:
            raise JournalError(self._reader.fault, place="journal", remedy="restore it, or `canary adopt`")
        while waiting and not (last is not None and last.settled):
            pending = waiting[0]
            # When the database took the entry and its answer was lost, it is there by now, and is no reason to refuse.
            known = self._reader.requests.result_of(pending.entry)
            if known is not None:
                pending.written = known
                waiting.remove(pending)
                continue
            pending.refused = self._refused(pending)
            written = await self._taken(pending) if pending.refused is None else None
            waiting.remove(pending)
            if written is not None:
                self._reader.take(written, told=pending.acted)
            if pending.acted:
                self._unwritten.remember()

    async def close(self) -> None:
        """Let the journal's last answer come, as long as it may take when nobody hangs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS), self._lock:
                """Whoever reads or writes holds it until then."""

    async def _taken(self, pending: Pending) -> Entry | None:
        """The entry as it is written; None when the journal takes it in no form."""
        try:
            pending.written = await self._reader.journal.append(pending.entry, after=self._reader.end)
        except JournalContentError as error:
            self.act(pending)
            self._unwritten.refused.append(pending.entry)
            pending.written = pending.entry
            self._log.error("decided, and in no form taken by the journal", exception=error)
            return None
        return pending.written

    async def _write(self, pending: Pending) -> Entry:
        async with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    if not pending.settled:
                        await self.flush(pending)
                except JournalConflictError:
                    await self._reader.catch_up()
                if pending.refused is not None:
                    raise pending.refused
                if pending.written is not None:
                    return pending.written
        raise crowded()

    def _wrote(self, writing: asyncio.Future[Entry]) -> None:
        self._writing.discard(writing)
        if not writing.cancelled():
            writing.exception()  # nobody may be waiting for it any more

    def _heard(self, entry: Entry) -> None:
        if isinstance(entry, Started):
            self._unwritten.refused.clear()

    def _refused(self, pending: Pending) -> RefusedError | None:
        """Why an entry must not be written any more: its rollout is over, or another one says the same already."""
        rollout = newest(self._reader.rollouts)
        if rollout is None or rollout.id != pending.entry.rollout:
            return RefusedError(f"rollout {pending.entry.rollout} is not the present one any more")
        try:
            pending.command.entry(rollout, pending.entry.at)
        except RefusedError as error:
            return error
        return None

    @staticmethod
    def _owe(pending: Pending) -> Entry:
        """Answer before it is written."""
        raise JournalError(
            f"{pending.entry.label} of rollout {pending.entry.rollout} is acted upon, and not written yet",
            place="journal",
            remedy="it is written as soon as the journal answers",
        )


def crowded() -> JournalConflictError:
    """Others were first at every attempt."""
    return JournalConflictError("others keep writing", place="journal", remedy="look again and decide anew")

"""What has been read of the journal: how far, the rollouts it folds into, and what of it is not understood.

The journal only grows, so each look reads what is behind the last one's position, and the last row once more. Where
that row is missing or another one, the journal is another file, an older copy or a table made anew: what was decided is
not in it, and nothing can be concluded from it. Its length alone does not tell: an older copy that others went on
writing is soon longer than what was read. That is the reader's fault, in words, until the row is there again, or until
a person has said in the journal what is in force (`canary adopt`), through whichever receiver.

A row of a kind that this version does not know may be a hold, or the start of another rollout, so what the rollout is
now is not known either. Rows that only record something (a sent message) cannot decide, and are left out of it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from canary.errors import JournalConflictError, JournalError
from canary.logs import Log
from canary.rollout.entries import Adopted, Entry, Started, Unknown
from canary.rollout.folding import fold
from canary.rollout.journal.journal import Journal
from canary.rollout.state import Rollout
from canary.rollout.store.requests import Requests

Listener = Callable[[Entry], None]

_NOT_READ = "the journal has not been read yet"
_CANNOT_BE_READ = "the journal cannot be read"
_IS_NOT_THE_ONE = "the journal is"


class JournalReader:
    """The journal as far as it has been read.

    Attributes:
        fault: why the journal cannot be what was decided; empty once it has been read, and as long as it only grows.
        rollouts: all rollouts by id, in the order of their starts.
        requests: what each caller's request has led to.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.fault = _NOT_READ
        self.rollouts: dict[str, Rollout] = {}
        self.requests = Requests()
        self.position = 0
        """Number of the last entry that was read; whoever appends says that it knows of no later one."""
        self._last: Entry | None = None
        # Which adoptions are known, by rollout and moment: another one ends a doubt.
        self._adopted: set[tuple[str, datetime]] = set()
        self._unread: list[Unknown] = []
        self._listeners: list[Listener] = []
        self._log = Log("receiver")

    @property
    def end(self) -> Entry | int:
        """What an entry that is appended now comes after: the last one that was read."""
        return self._last or self.position

    @property
    def doubted(self) -> bool:
        """Whether the journal is not the one that was read before, so that nothing may be written after it."""
        return self.fault.startswith(_IS_NOT_THE_ONE)

    @property
    def unread(self) -> str:
        """Which rows since the newest start are not understood though they may decide; empty when there are none."""
        if not self._unread:
            return ""
        first = self._unread[0]
        more = f", and {len(self._unread) - 1} more" if len(self._unread) > 1 else ""
        return f"row {first.seq} of the journal, {first.label[:32]!a}, is not understood ({first.fault}){more}"

    def listen(self, listener: Listener) -> None:
        """Call *listener* with every entry from now on."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Call *listener* no more."""
        self._listeners.remove(listener)

    def tell(self, entry: Entry) -> None:
        """Call all listeners with an entry, whether or not the journal has it yet."""
        for listener in self._listeners:
            listener(entry)

    async def renew(self) -> None:
        """Take over what is new, and see that nothing is missing.

        Raises:
            JournalError: it cannot be read; `fault` says so unless it was read before.
        """
        try:
            await self.catch_up()
        except JournalConflictError:
            raise
        except JournalError as error:
            if self.fault == _NOT_READ or self.fault.startswith(_CANNOT_BE_READ):
                self.fault = f"{_CANNOT_BE_READ} ({error})"
            raise

    async def catch_up(self) -> None:
        """Take over what is new, if it follows what is known.

        Raises:
            JournalError: it cannot be read.
        """
        found = await self.journal.entries(after=max(0, self.position - 1))
        if self._last is not None:
            if not found or found[0].identity != self._last.identity:
                await self._doubt()
                return
            found = found[1:]
        self.fault = ""
        for entry in found:
            self.take(entry)

    def begin(self, entries: Sequence[Entry]) -> None:
        """Take these for the whole story, although more was read from the journal before."""
        self.position, self._last, self.rollouts, self._unread = 0, None, {}, []
        self.fault = ""
        for entry in entries:
            self._add(entry)

    def take(self, entry: Entry, *, told: bool = False) -> None:
        """Take over an entry as the journal has it.

        Args:
            told: the listeners know of it, for it was acted upon before it was written.
        """
        self._add(entry)
        if not told:
            self.tell(entry)

    def _add(self, entry: Entry) -> None:
        self.position, self._last = entry.seq, entry
        self.rollouts = fold([entry], self.rollouts)
        if isinstance(entry, Adopted):
            self._adopted.add((entry.rollout, entry.at))
        if isinstance(entry, Started):
            self._unread = []
        elif isinstance(entry, Unknown) and entry.may_decide:
            self._unread.append(entry)
            self._log.error("journal row not understood", row=entry.seq, kind=entry.label, fault=entry.fault)
        self.requests.remember(entry)

    async def _doubt(self) -> None:
        """What was read is not there any more: say so, unless a person has said since what is in force."""
        entries = await self.journal.entries()
        said = [one for one in entries if isinstance(one, Adopted) and (one.rollout, one.at) not in self._adopted]
        if said:
            self._log.warn("the journal is taken as it is, for somebody has adopted it", rollout=said[-1].rollout)
            self.begin(entries)
            for entry in entries:
                if entry.seq >= said[0].seq:
                    self.tell(entry)
            return
        newest = entries[-1].seq if entries else 0
        if newest < self.position:
            found = f"older than what was read from it before (position {newest}, known up to {self.position})"
        else:
            found = f"another one than was read before (row {self.position} has changed)"
        self.fault = f"{_IS_NOT_THE_ONE} {found}"

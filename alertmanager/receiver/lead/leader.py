"""Which receiver acts when several run: exactly one, the others wait and take over."""

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Protocol

from alertmanager.receiver.lead.postgres import PostgresLeader
from canary.logs import Log
from canary.policy.model import Policy
from canary.rollout.journal.journal import journal_url
from canary.timing.clock import Clock

# A lock whose holder dies is free at once; a second without a leader costs a rollback one second.
_RETRY_SECONDS = 1.0

# A link in the lock's place would have a file created elsewhere, with our rights.
_FLAGS = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Leader(Protocol):
    """Says whether this receiver is the one that acts.

    Attributes:
        leading: whether it did when it last made sure.
        unknown: whether nobody can tell who leads, because what decides it does not answer.
    """

    leading: bool
    unknown: bool

    async def run(self) -> None:
        """Try to lead, and keep leading, until cancelled."""
        ...

    async def may_act(self) -> bool:
        """Whether this receiver leads at this very moment; asked before every action."""
        ...

    async def close(self) -> None:
        """Let another one lead."""
        ...


class FileLeader:
    """One leader on this machine: the one that holds a lock on a file next to the journal.

    The kernel gives the lock back when its holder dies, however it dies.

    Args:
        path: the lock's file; None when the journal is in memory and nobody else can be there.
        former: the file that version 0.1 locks, which knew of one service for each journal. It is shared with the
            receivers of other services; a receiver of 0.1 that still runs has it alone, and neither leads next to it.
    """

    # A file on this machine is always there to be asked.
    unknown = False

    def __init__(self, path: Path | None, clock: Clock, former: Path | None = None) -> None:
        self.leading = path is None
        self._path = path
        self._former = former
        self._clock = clock
        self._log = Log("leader")
        self._held: dict[Path, int] = {}

    async def run(self) -> None:
        """Wait for the lock, then keep it; when it is lost, wait for it again."""
        if self._path is None:
            await asyncio.Event().wait()
        while True:
            if not await self.may_act():
                self.leading = self.try_lock()
                if self.leading:
                    self._log.info("leading", lock=self._path)
            await self._clock.sleep(_RETRY_SECONDS)

    async def may_act(self) -> bool:
        """Whether the lock is ours, and is the one that others would have to take."""
        if not all(_is_there(*held) for held in self._held.items()):
            self._log.error("no longer leading, the lock's file was removed or replaced", lock=self._path)
            await self.close()
        return self.leading

    def try_lock(self) -> bool:
        """Take the lock when nobody has it.

        Raises:
            OSError: its file cannot be opened, or is a link.
        """
        assert self._path is not None  # without a path this receiver leads from the start
        wanted = [(self._path, fcntl.LOCK_EX)]
        if self._former is not None:
            wanted.append((self._former, fcntl.LOCK_SH))
        try:
            for path, kind in wanted:
                descriptor = self._held[path] = os.open(path, _FLAGS, 0o600)
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody else has one of them
            self._let_go()
            return False
        except OSError:
            # A descriptor that stayed open would keep its lock from ourselves.
            self._let_go()
            raise
        return True

    async def close(self) -> None:
        """Give the lock back."""
        if self._path is not None:
            self._let_go()
            self.leading = False

    def _let_go(self) -> None:
        while self._held:
            os.close(self._held.popitem()[1])


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether the file that is locked still has its name: else another receiver locks a new file, and leads too."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def leader_of(policy: Policy, clock: Clock) -> Leader:
    """The leader that fits the journal's place: a lock in PostgreSQL, or one on this machine."""
    url = journal_url(policy)
    if url.get_backend_name() == "postgresql":
        return PostgresLeader(url, policy.service, clock)
    kept = url.database not in (None, ":memory:")
    # By service: several may have their chains in one file, and each has a receiver that leads.
    if not kept:
        return FileLeader(None, clock)
    return FileLeader(Path(f"{url.database}.{policy.service}.lock"), clock, Path(f"{url.database}.lock"))

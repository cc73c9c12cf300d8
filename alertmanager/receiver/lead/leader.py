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
    """

    # A file on this machine is always there to be asked.
    unknown = False

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self.leading = path is None
        self._path = path
        self._clock = clock
        self._log = Log("leader")
        self._descriptor: int | None = None

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
        if self._descriptor is not None and not self._is_there(self._descriptor):
            self._log.error("no longer leading, the lock's file was removed or replaced", lock=self._path)
            await self.close()
        return self.leading

    def _is_there(self, descriptor: int) -> bool:
        """Whether the file that is locked still has its name: else another receiver locks a new file, and leads too."""
        assert self._path is not None  # there is a descriptor
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except OSError:
            return False

    def try_lock(self) -> bool:
        """Take the lock when nobody has it."""
        assert self._path is not None  # without a path this receiver leads from the start
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    async def close(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self.leading = False


def leader_of(policy: Policy, clock: Clock) -> Leader:
    """The leader that fits the journal's place: a lock in PostgreSQL, or one on this machine."""
    url = journal_url(policy)
    if url.get_backend_name() == "postgresql":
        return PostgresLeader(url, policy.service, clock)
    kept = url.database not in (None, "", ":memory:")
    # By service: several may have their chains in one file, and each has a receiver that leads.
    return FileLeader(Path(f"{url.database}.{policy.service}.lock") if kept else None, clock)

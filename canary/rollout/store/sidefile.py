"""A small file next to the journal, for what must survive a restart although the journal cannot be written.

Such a file is needed exactly when disks are full and databases away, so it asks for as little as it can: it is bounded,
replaced in one rename (a reader finds the old text or the new one), and the space for the next replacement is taken
beforehand, while there is some. A file that cannot be written is said in the log and hinders nothing: what it remembers
is a second line of defence, and the first is what is being done at the moment.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from canary import files
from canary.logs import Log
from canary.policy.model import Policy
from canary.rollout.journal.journal import journal_url
from canary.threads import Threads

# Twenty entries with reasons of two thousand characters, each of which JSON may write as six.
_MOST_BYTES = 256 * 1024


def beside(policy: Policy, suffix: str) -> Path | None:
    """Where a file next to the journal is; None for a journal in memory, after which nothing is left anyway.

    A journal in SQLite has it next to its own file. One in PostgreSQL is on another machine: then it is in the folder
    of the reports, the one that the receiver writes to. It has the service's name, as several may share a journal.
    """
    url = journal_url(policy)
    if url.get_backend_name() != "sqlite":
        return Path(policy.base) / policy.state.reports / f".{policy.service}{suffix}"
    kept = url.database not in (None, "", ":memory:")
    return Path(f"{url.database}.{policy.service}{suffix}") if kept else None


def formerly(policy: Policy, suffix: str) -> Path | None:
    """Where earlier versions kept it, which knew of one service for each SQLite file; None where that is the same."""
    url = journal_url(policy)
    kept = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(f"{url.database}{suffix}") if kept else None


class SideFile:
    """JSON in a file of bounded size; None as the path keeps it in memory only.

    Args:
        threads: where the disk is waited for, in the order of the calls.
        former: read as long as nothing was written to *path*.
    """

    def __init__(self, path: Path | None, threads: Threads, former: Path | None = None) -> None:
        self._path = path
        self._former = former
        self._threads = threads
        self._log = Log("journal")

    async def read(self) -> object:
        """What was written last; None when there is nothing, or nothing that can be read."""
        if self._path is None:
            return None
        return await self._threads.run(lambda: self._read(self._path, self._former))

    async def write(self, data: object) -> None:
        """Replace it durably; trouble is logged."""
        if self._path is not None:
            await self._threads.run(lambda: self._write(data))

    def close(self) -> None:
        """Wait for nothing more."""
        self._threads.close()

    def _read(self, path: Path | None, former: Path | None) -> object:
        if path is None:
            return None
        try:
            return json.loads(files.read_own(path, _MOST_BYTES))
        except FileNotFoundError:
            return self._read(former, None)
        except (OSError, ValueError, RecursionError) as error:
            self._log.error("cannot read what was remembered", path=path, exception=error)
            return None

    def _write(self, data: object) -> None:
        assert self._path is not None  # write
        text = json.dumps(data).encode()
        try:
            if len(text) > _MOST_BYTES:
                raise OSError(f"{len(text)} bytes are more than {_MOST_BYTES}")  # noqa: TRY301  # said as all the rest
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(self._path, text)
        except OSError as error:
            self._log.error("cannot remember next to the journal", path=self._path, exception=error)

    def _replace(self, path: Path, text: bytes) -> None:
        spare = path.with_name(f"{path.name}.spare")
        descriptor = files.open_own(spare, os.O_WRONLY)
        try:
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        spare.replace(path)
        # Taken now, for the time when no space is left; without it the next replacement is tried all the same.
        with suppress(OSError):
            descriptor = files.open_own(spare, os.O_WRONLY)
            try:
                os.posix_fallocate(descriptor, 0, max(len(text), os.sysconf("SC_PAGE_SIZE")))
            finally:
                os.close(descriptor)

"""The files of the reports that are written by themselves."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Self

from canary.errors import CanaryError, JournalError
from canary.policy.model import Policy
from canary.report.facts import Report
from canary.report.files import paths, write
from canary.report.past import PastReport, folder_of, past_reports
from canary.threads import Threads

Writer = Callable[[Report, Path], Awaitable[None]]
"""Writes a report's files into a folder."""

_Marks = frozenset[tuple[Path, int, int]]
"""By which a change of a folder is told: each report with its size and the time when it was written."""


class ReportFiles:
    """Looks for a report's files, and writes them.

    A report has some hundred kilobytes, and a shop that releases daily has hundreds of them, whose reading takes
    seconds of computing from everything else. So they are read again only when a file has changed.

    Args:
        folder: where the reports are.
        threads: where the disk is waited for.
        writer: how files are written; a process of its own by default, inline in a simulation.
    """

    def __init__(self, folder: Path, threads: Threads, writer: Writer | None = None) -> None:
        self.folder = folder
        self._threads = threads
        self._writer = writer or write_apart
        self._marks: _Marks = frozenset()
        self._past: Mapping[str, Sequence[PastReport]] = {}

    @classmethod
    def of(cls, policy: Policy, threads: Threads) -> Self:
        """The files in the folder that `state.reports` names."""
        return cls(folder_of(policy), threads)

    async def are_there(self, rollout: str) -> bool:
        """Whether all files of a rollout's report exist."""
        return await self._threads.run(lambda: all(path.exists() for path in paths(self.folder, rollout)))

    async def past(self, service: str) -> Sequence[PastReport]:
        """The reports of a service that were written before, oldest first."""
        return await self._threads.run(lambda: self._read(service))

    def _read(self, service: str) -> Sequence[PastReport]:
        marks = _marks_of(self.folder)
        if marks != self._marks or service not in self._past:
            found = past_reports(self.folder, service)
            self._past, self._marks = {service: list(found.reports.values())}, marks
        return self._past[service]

    async def write(self, report: Report) -> None:
        """Write all files of a report.

        Raises:
            JournalError: the folder cannot be written to, or the process that writes was killed.
        """
        await self._writer(report, self.folder)

    def close(self) -> None:
        """Wait for nothing more."""
        self._threads.close()


async def write_apart(report: Report, folder: Path) -> None:
    """Write in a process of its own: plots take seconds of computing, in which a rollback must not wait.

    Threads would not help: they compute under the same lock as the event loop.

    Raises:
        JournalError: the folder cannot be written to, the report cannot be made, or the process was killed.
    """
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    try:
        await asyncio.get_running_loop().run_in_executor(pool, write, report, folder)
    except CanaryError:
        raise
    except BrokenProcessPool as error:
        raise JournalError("the process that writes it was killed", place=f"report of {report.rollout.id}") from error
    except Exception as error:  # whatever is wrong with one report, the others are written
        what = f"it cannot be made ({type(error).__name__}: {error})"
        raise JournalError(what, place=f"report of {report.rollout.id}") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _marks_of(folder: Path) -> _Marks:
    marks = set()
    for path in folder.glob("*.json"):
        try:
            found = path.stat()
        except OSError:  # deleted meanwhile
            continue
        marks.add((path, found.st_size, found.st_mtime_ns))
    return frozenset(marks)

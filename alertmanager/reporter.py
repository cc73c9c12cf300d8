"""The report that is written by itself when a rollout has ended."""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from pathlib import Path

import aiohttp

from alertmanager.bell import Bell
from alertmanager.leader import Leader
from canary.clock import Clock
from canary.errors import CanaryError, JournalError
from canary.logs import Log
from canary.policy.model import Policy
from canary.prometheus import PATIENT, QUICK, Limits, Prometheus
from canary.report.facts import Report
from canary.report.files import folder_of, paths, write
from canary.report.gather import gather
from canary.rollout import TERMINAL, Rollout
from canary.store import RolloutStore

# The last scrapes and rule evaluations of a rollout arrive after its end.
_SETTLE = timedelta(seconds=10)
# How long a Prometheus that is down is waited for, before a report without it is better than none.
_PATIENCE = timedelta(minutes=15)
_RETRY_SECONDS = 30.0

# A report may be waited for, but is read in the process that must be able to roll back.
_LIMITS = Limits(PATIENT.seconds, QUICK.size_bytes)
_IDLE_SECONDS = 300.0


class Reporter:
    """Writes what is missing: after a restart too, and never over a report that is there."""

    def __init__(
        self, policy: Policy, store: RolloutStore, leader: Leader, session: aiohttp.ClientSession, clock: Clock
    ) -> None:
        self._policy = policy
        self._store = store
        self._leader = leader
        self._prometheus = Prometheus(session, policy.receiver.prometheus, limits=_LIMITS)
        self._clock = clock
        self._bell = Bell(clock)
        self._log = Log("report")
        store.listen(lambda _: self._bell.ring())

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._bell.wait(await self.step())

    async def step(self) -> float:
        """Write the newest rollout's report if it is due and missing; gives the seconds after which to look again."""
        rollout = self._store.rollout
        if rollout is None or rollout.state not in TERMINAL or rollout.ended_at is None:
            return _IDLE_SECONDS
        if not await self._leader.may_act() or await asyncio.to_thread(self._is_there, rollout):
            return _IDLE_SECONDS
        wait = (rollout.ended_at + _SETTLE - self._clock.now()).total_seconds()
        if wait > 0:
            return wait
        try:
            report = await gather(self._policy, await self._store.entries(rollout.id), self._prometheus, self._clock)
            if report is None or (not report.complete and self._clock.now() - rollout.ended_at < _PATIENCE):
                return _RETRY_SECONDS
            await self._write(report)
        except CanaryError as error:
            self._log.error("report not written", exception=error, rollout=rollout.id)
            return _RETRY_SECONDS
        self._log.info("report written", rollout=rollout.id, folder=str(folder_of(self._policy)))
        return _IDLE_SECONDS

    def _is_there(self, rollout: Rollout) -> bool:
        return all(path.exists() for path in paths(folder_of(self._policy), rollout.id))

    async def _write(self, report: Report) -> None:
        """In a process of its own: plots take seconds of computing, in which a rollback must not wait."""
        writing: Callable[[Report, Path], list[Path]] = write
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            await asyncio.get_running_loop().run_in_executor(pool, writing, report, folder_of(self._policy))
        except BrokenProcessPool as error:
            raise JournalError("report: the process that writes it was killed") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

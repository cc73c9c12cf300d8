"""The report that is written by itself when a rollout has ended.

Every rollout that has ended and has no report gets one, also when the next one has begun meanwhile. That it is written
stands in the journal (`Step.REPORT`), so that a folder that somebody has cleared is not filled again. Where an older
version, which left no mark, has written the files, they are left as they are and the mark is made up for.

When the watch after a promotion is over the report is written once more, with what was seen and recorded since: the
review that people hold two days later starts from it.
"""

import aiohttp

from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError, RefusedError
from canary.logs import Log
from canary.policy.model import Policy
from canary.prometheus import PATIENT, QUICK, Limits, Prometheus
from canary.report.gather import gather
from canary.rollout.ages import Ages
from canary.rollout.commands.records import CompleteStep, Record
from canary.rollout.kinds import REPORT_RENEWED, WATCH_CLOSED, Step
from canary.rollout.state import TERMINAL, Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock

# The last scrapes and rule evaluations of a rollout arrive after its end.
_SETTLE_SECONDS = 10.0
# How long a Prometheus that is down is waited for, before a report without it is better than none.
_PATIENCE_SECONDS = 15 * 60.0
# Prometheus forgets after 15 days unless told otherwise: a report that is made later would be of nothing.
_LOOKS_BACK_SECONDS = 15 * 86400.0

# What was in the way is asked again this soon: people wait for a report, but not by the second.
_RETRY_SECONDS = 30.0
# An end of a rollout wakes the reporter; this look is for what was ended by another receiver, or before a restart.
_IDLE_SECONDS = 300.0

# A report may be waited for, but is read in the process that must be able to roll back.
_LIMITS = Limits(PATIENT.seconds, QUICK.size_bytes)


class Reporter:
    """Writes what is missing: after a restart too, and never over a report that is there."""

    def __init__(
        self, policy: Policy, store: RolloutStore, effects: Effects, session: aiohttp.ClientSession, clock: Clock
    ) -> None:
        self._policy = policy
        self._store = store
        self._effects = effects
        self._prometheus = Prometheus.of(policy, session, limits=_LIMITS)
        self._clock = clock
        self._ages = Ages(clock)
        self._wake_up = WakeUp(clock)
        self._log = Log("report")
        store.listen(lambda _: self._wake_up.set())

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake_up.wait(await self.step())

    async def step(self) -> float:
        """Write every report that is due and missing; gives the seconds after which to look again."""
        missing = [rollout for rollout in self._store.rollouts.values() if self._is_missing(rollout)]
        if not missing:
            return _IDLE_SECONDS
        if not await self._effects.leads():
            # The one that leads writes it, unless it dies first and this one takes over.
            return _RETRY_SECONDS
        # The newest first: its report is what people wait for.
        return min([await self._step(rollout) for rollout in reversed(missing)], default=_IDLE_SECONDS)

    def _is_missing(self, rollout: Rollout) -> bool:
        if rollout.state not in TERMINAL or rollout.ended is None:
            return False
        if Step.REPORT in rollout.steps and not _is_stale(rollout):
            return False
        return self._age_seconds(rollout) < _LOOKS_BACK_SECONDS

    def _age_seconds(self, rollout: Rollout) -> float:
        return self._ages.seconds(rollout.ended, by_wall=True) if rollout.ended is not None else 0.0

    async def _step(self, rollout: Rollout) -> float:
        """Bring one rollout's report nearer; gives the seconds after which to look at it again."""
        try:
            if Step.REPORT in rollout.steps:
                return await self._renew(rollout)
            # What was written at its promotion says nothing of how it was finished.
            if rollout.state is State.FINISHED or not await self._effects.report_is_there(rollout.id):
                wait = _SETTLE_SECONDS - self._age_seconds(rollout)
                if wait > 0:
                    return wait
                if not await self._write(rollout, may_wait=self._age_seconds(rollout) < _PATIENCE_SECONDS):
                    return _RETRY_SECONDS
            done = CompleteStep(rollout=rollout.id, step=Step.REPORT, decision=rollout.decision)
            await self._store.propose(None, done)
        except RefusedError:
            # Another receiver leads, or has written it, or the rollout is being rolled back after its promotion.
            return _RETRY_SECONDS
        except CanaryError as error:
            self._log.error("report not written", exception=error, rollout=rollout.id)
            return _RETRY_SECONDS
        return _IDLE_SECONDS

    async def _renew(self, rollout: Rollout) -> float:
        """Write a report again, with what came after it."""
        if not await self._write(rollout, may_wait=False):
            return _RETRY_SECONDS
        reason = "the report has what was seen and recorded during the watch"
        await self._store.propose(None, Record(rollout=rollout.id, key=REPORT_RENEWED, reason=reason))
        return _IDLE_SECONDS

    async def _write(self, rollout: Rollout, *, may_wait: bool) -> bool:
        """Write one report; False when a better one can be made later."""
        entries = await self._store.entries(rollout.id)
        past = await self._effects.past_reports(self._policy.service)
        report = await gather(self._policy, entries, self._prometheus, self._clock, past)
        if report is None or (may_wait and not report.complete):
            return False
        await self._effects.write_report(report)
        self._log.info("report written", rollout=rollout.id)
        return True


def _is_stale(rollout: Rollout) -> bool:
    """Whether the watch has ended since the report was written."""
    return WATCH_CLOSED in rollout.recorded and REPORT_RENEWED not in rollout.recorded

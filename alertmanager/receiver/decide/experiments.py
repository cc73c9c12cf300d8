"""The receiver's side of experiments: begun as the policy says, stopped by a guardrail's alert or a person.

An experiment that is started again keeps its name, and no label tells its runs apart. So an alert that stopped a run,
or fired while it was stopped, is remembered by when its firing began: the same firing, repeated after the restart, is
about the run before. That moment is Prometheus' word and is compared with itself only; held against this machine's
clock, as it was once, a clock that had been set decided whether a guardrail could stop anything.
"""

import asyncio
from functools import partial

from alertmanager.receiver.decide.alerts.admission import Outcome
from canary import names
from canary.errors import JournalConflictError, JournalError, RefusedError, RemoteError
from canary.logs import Log
from canary.policy.model import Policy
from canary.prometheus import Alertmanager, ServiceAlerts, Suppression, UnevaluatedError
from canary.prometheus.alert import Alert
from canary.rollout import experiments
from canary.rollout.experiments import Trial
from canary.rollout.journal.journal import Journal
from canary.timing.clock import Clock
from canary.timing.times import to_text

# What another receiver writes counts within this time; a stop is not urgent to the second.
_FOLLOW_SECONDS = 5.0
# Each attempt is lost to another receiver that has written something.
_ATTEMPTS = 3

# Firings of one experiment that are remembered; it has a handful of guardrails.
_HEARD = 20


class Experiments:
    """Keeps the experiments as the journal has them, and appends to it.

    Args:
        journal: the chain of experiments.
    """

    def __init__(self, policy: Policy, journal: Journal, clock: Clock) -> None:
        self._policy = policy
        self._journal = journal
        self._clock = clock
        self._lock = asyncio.Lock()
        self._trials: dict[str, Trial] = {}
        self._unknown = ""
        self._begun = False
        self._heard: dict[str, list[str]] = {}
        self._log = Log("experiments")

    @property
    def trials(self) -> dict[str, Trial]:
        """Every experiment that the policy has, by name."""
        return {name: trial for name, trial in self._trials.items() if name in self._policy.experiments}

    @property
    def stopped(self) -> frozenset[str]:
        """Experiments in which everybody gets the control."""
        return frozenset(name for name, trial in self._trials.items() if not trial.running)

    async def begin(self) -> None:
        """Take over the journal, and begin what the policy has and the journal lacks.

        Raises:
            JournalError: it cannot be read or written.
        """
        if not self._policy.experiments:
            return
        async with self._lock:
            await self._refresh()
            self._begun = True
            for entry in experiments.due(self._policy, self._trials, at=self._clock.now(), actor="receiver"):
                try:
                    await self._journal.append(entry, after=await self._journal.position())
                except JournalConflictError:
                    self._log.debug("another receiver was first", experiment=entry.rollout)
            await self._refresh()

    async def run(self, alerts: ServiceAlerts, alertmanager: Alertmanager) -> None:
        """Follow what other receivers write, and look for stops that no webhook brought, until cancelled."""
        while True:
            await self._clock.sleep(min(self._policy.receiver.poll, _FOLLOW_SECONDS))
            if not self._policy.experiments:
                continue
            if self._begun:
                await self._refresh()
            else:
                await self.begin()
            if any(trial.running and self._policy.experiments[name].guardrails for name, trial in self.trials.items()):
                await self._look(alerts, alertmanager)

    async def _look(self, alerts: ServiceAlerts, alertmanager: Alertmanager) -> None:
        try:
            firing, unknown = await alerts.stopping(), ""
        except RemoteError as error:
            # What it shows is believed; that it shows nothing is not.
            firing, unknown = list(error.alerts) if isinstance(error, UnevaluatedError) else [], str(error)
        if unknown and not self._unknown:
            self._log.warn("it is not known whether a guardrail asks for a stop", error=unknown)
        self._unknown = unknown
        try:
            silences = await alertmanager.silences() if firing else []
        except RemoteError as error:
            # Without Alertmanager no silence is known, and every alert counts.
            self._log.debug("silences unknown", error=error)
            silences = []
        known = Suppression(silences)
        for alert in firing:
            if not known.keeps_back(alert):
                await self.take(alert, "prometheus")

    async def take(self, alert: Alert, actor: str) -> Outcome:
        """Do what an alert with `action: stop` asks for."""
        trial = self.trials.get(alert.labels.get(names.EXPERIMENT, ""))
        if alert.labels.get(names.SERVICE) != self._policy.service:
            return Outcome.OTHER_SERVICE
        if not alert.firing:
            return Outcome.RESOLVED
        if self._policy.rollback.dry_run or alert.labels.get(names.DRY_RUN) == "true":
            return Outcome.DRY_RUN
        if trial is None:
            return Outcome.NO_EXPERIMENT
        firing = to_text(alert.starts_at) if alert.starts_at is not None else ""
        if not trial.running:
            self._hear(trial.name, firing)
            return Outcome.JOINED
        if firing and firing in (*trial.spent, *self._heard.get(trial.name, ())):
            return Outcome.BEFORE_START
        try:
            await self._append(
                partial(experiments.stop, firings=(firing,) if firing else ()), trial.name, actor, alert.description
            )
        except RefusedError:
            return Outcome.JOINED
        except JournalError as error:
            self._log.error("an experiment could not be stopped", experiment=trial.name, exception=error)
            return Outcome.FAILED
        return Outcome.ACCEPTED

    def _hear(self, name: str, firing: str) -> None:
        """Remember a firing of a run that is over, until this process ends; the one that ended it is in the journal."""
        heard = self._heard.setdefault(name, [])
        if firing and firing not in heard:
            heard.append(firing)
            del heard[:-_HEARD]

    async def stop(self, name: str, *, actor: str, reason: str) -> None:
        """Give everybody the control.

        Raises:
            RefusedError: there is no such experiment, or it was stopped already.
            JournalError: it could not be written; the experiment goes on.
        """
        await self._append(experiments.stop, name, actor, reason)

    async def start(self, name: str, *, actor: str, reason: str) -> None:
        """Begin a stopped experiment anew.

        Raises:
            RefusedError: there is no such experiment, or it runs.
            JournalError: it could not be written.
        """
        await self._append(experiments.start, name, actor, reason)

    async def _append(self, command: experiments.Command, name: str, actor: str, reason: str) -> None:
        async with self._lock:
            for attempt in range(_ATTEMPTS):
                position = await self._journal.position()
                await self._refresh()
                entry = command(self.trials, name, at=self._clock.now(), actor=actor, reason=reason)
                try:
                    await self._journal.append(entry, after=position)
                except JournalConflictError:
                    if attempt == _ATTEMPTS - 1:
                        raise
                else:
                    break
            await self._refresh()
        self._log.warn("experiment", experiment=name, kind=entry.label, actor=actor, reason=reason)

    async def _refresh(self) -> None:
        self._trials = experiments.fold(await self._journal.entries())

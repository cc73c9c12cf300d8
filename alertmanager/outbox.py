"""Telling people, at least once: what has to be told is read from the journal, and so is what has been told.

The key of a message is `SERVICE/ROLLOUT/ENTRY`, the journal entry it is about. A message may arrive twice when the
receiver dies between sending it and writing that down; its key is the same then.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from alertmanager.bell import Bell
from alertmanager.leader import Leader
from alertmanager.messages import OCCASIONS, Facts, message, occasion
from alertmanager.metrics import Metrics
from canary.clock import Clock
from canary.commands import CompleteStep, Notify
from canary.entries import Entry, Notified, RollbackDecided, Step
from canary.errors import CanaryError, JournalError, RefusedError
from canary.logs import Log
from canary.notify import Message, Notifier
from canary.policy.model import Policy
from canary.rollout import Rollout, State
from canary.store import RolloutStore

_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 60.0


class Outbox:
    """Sends what the journal says people should know, until every target has taken it or it is too old."""

    def __init__(
        self,
        policy: Policy,
        store: RolloutStore,
        notifier: Notifier,
        metrics: Metrics,
        leader: Leader,
        clock: Clock,
        facts: Callable[[], Facts],
    ) -> None:
        self.pending: tuple[Entry, ...] = ()
        self._policy = policy
        self._store = store
        self._notifier = notifier
        self._metrics = metrics
        self._leader = leader
        self._clock = clock
        self._facts = facts
        self._bell = Bell(clock)
        self._log = Log("notify")
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        self._told_early: dict[tuple[str, str, datetime], frozenset[str]] = {}
        self._worth_telling = frozenset(policy.notify.on) & OCCASIONS
        store.listen(lambda _: self._bell.ring())

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._bell.wait(await self.step())

    async def step(self) -> float:
        """Try once to send everything that is due; gives the seconds after which to try again."""
        try:
            if not await self._leader.may_act() and not self._store.unwritten:
                return self._policy.receiver.reconcile
            failed = await self._send_due()
        except RefusedError:
            return 0
        except CanaryError as error:
            self._log.error("cannot tell people", exception=error)
            failed = True
        if failed:
            self._backoff_seconds = min(self._backoff_seconds * 2, _LONGEST_BACKOFF_SECONDS)
            return self._backoff_seconds
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        return self._policy.receiver.reconcile

    async def _send_due(self) -> bool:
        rollout = self._store.rollout
        if rollout is None:
            return False
        try:
            entries = await self._store.entries(rollout.id)
        except JournalError:
            entries = self._store.unwritten
        told = _told(entries)
        self.pending = tuple(entry for entry in entries if self._open(entry, told))
        failed = False
        for entry in self.pending:
            if self._due(entry, rollout):
                failed |= not await self._send(entry, rollout, told.get(entry.seq, frozenset()))
        await self._confirm(rollout)
        return failed

    def _open(self, entry: Entry, told: Mapping[int, frozenset[str]]) -> bool:
        return occasion(entry) in self._worth_telling and not (
            entry.seq in told and told[entry.seq] >= set(self._notifier.targets)
        )

    def _due(self, entry: Entry, rollout: Rollout) -> bool:
        """A rollback is told when it is complete, or when it takes so long that people must help."""
        if not isinstance(entry, RollbackDecided) or rollout.state is not State.ROLLING_BACK:
            return True
        return self._clock.now() - entry.at >= timedelta(seconds=self._policy.rollback.converge)

    async def _send(self, entry: Entry, rollout: Rollout, told: frozenset[str]) -> bool:
        if self._clock.now() - entry.at > timedelta(seconds=self._policy.notify.expire):
            self._metrics.notification("expired")
            self._log.error("message dropped, it is too old", key=self._key(entry))
            await self._write(entry, self._notifier.targets, expired=True)
            return True
        told |= self._told_early.get(_identity(entry), frozenset())
        remaining = [target for target in self._notifier.targets if target not in told]
        deliveries = await self._notifier.send(self._message(entry, rollout), remaining)
        for delivery in deliveries:
            self._metrics.notification("failed" if delivery.error else "sent")
            if delivery.error:
                self._log.warn("target did not take the message", target=delivery.target, error=delivery.error)
        taken = [delivery.target for delivery in deliveries if not delivery.error]
        if not entry.seq:
            # The journal cannot be written, and neither can it be said in it who has been told.
            self._told_early[_identity(entry)] = told | frozenset(taken)
        elif taken or not remaining:
            early = self._told_early.pop(_identity(entry), frozenset())
            await self._write(entry, [*early, *taken], expired=False)
        return len(taken) == len(remaining)

    def _message(self, entry: Entry, rollout: Rollout) -> Message:
        return message(entry, rollout, self._facts(), self._key(entry))

    def _key(self, entry: Entry) -> str:
        return f"{self._policy.service}/{entry.rollout}/{entry.seq}"

    async def _write(self, entry: Entry, targets: Sequence[str], *, expired: bool) -> None:
        told = Notify(rollout=entry.rollout, told=entry.seq, targets=tuple(targets), expired=expired)
        await self._store.propose(None, told)

    async def _confirm(self, rollout: Rollout) -> None:
        """The rollback's last step is done when everybody has been told of it."""
        entries = await self._store.entries(rollout.id)
        rollbacks = [entry for entry in entries if isinstance(entry, RollbackDecided)]
        current = self._store.rollout
        if not rollbacks or current is None or current.id != rollout.id or Step.NOTIFY in current.steps:
            return
        if self._due(rollbacks[-1], current) and not self._open(rollbacks[-1], _told(entries)):
            done = CompleteStep(rollout=rollout.id, step=Step.NOTIFY, decision=current.decision)
            await self._store.propose(None, done)


def _identity(entry: Entry) -> tuple[str, str, datetime]:
    """What an entry is known by before it has a position."""
    return entry.rollout, entry.kind.value, entry.at


def _told(entries: Sequence[Entry]) -> dict[int, frozenset[str]]:
    """By the entry's position: the targets that have been told."""
    told: dict[int, frozenset[str]] = {}
    for entry in entries:
        if isinstance(entry, Notified):
            told[entry.entry] = told.get(entry.entry, frozenset()) | frozenset(entry.targets)
    return told

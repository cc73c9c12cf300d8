"""Telling people, at least once: what has to be told is read from the journal, and so is what has been told.

The key of a message is `SERVICE/ROLLOUT/ENTRY`, the journal entry it is about. A message may arrive twice when the
receiver dies between sending it and writing that down; its key is the same then. What the journal has not taken yet has
no position: its key ends in what was decided and when, so that two decisions never share one.

What is open is looked for in every rollout, not only in the newest: a chat that was down while a rollback was completed
still hears of it when the next rollout has begun. A message that nobody has taken for `notify.expire` is given up, and
that is written down too, counted, and shown in the status. Beyond that there is an end to looking back: a policy that
begins to tell people of advances, or a target that is new, does not bring up all that ever happened.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from alertmanager.receiver.act.effects import Effects
from alertmanager.receiver.act.telling.messages import Facts, message
from alertmanager.receiver.act.telling.receipts import Receipt, receipts_of
from alertmanager.receiver.act.telling.routing import Routing
from alertmanager.receiver.metrics import Metrics
from alertmanager.receiver.wakeup import WakeUp
from canary.errors import CanaryError, JournalError, RefusedError
from canary.logs import Log
from canary.notify import Delivery, audience_of
from canary.rollout.ages import Ages
from canary.rollout.commands.records import CompleteStep, Notify
from canary.rollout.entries import Entry, RollbackDecided
from canary.rollout.kinds import Step
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Moment, Rollout, State
from canary.rollout.store.store import RolloutStore
from canary.timing.backoff import Backoff
from canary.timing.clock import Clock

# A chat that refuses is mostly up again within seconds; one that is down for long is not hammered, and a minute later
# than it could have been is soon enough for a person.
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0

# How long after a message would have expired it is still written down that it has, and how long that is shown: long
# enough for a receiver that was down over a week-end, and for people who were away then.
_LOOKS_BACK_SECONDS = 7 * 86400.0


@dataclass(frozen=True)
class _Look:
    """What one look at the journal found about a rollout.

    Attributes:
        whole: whether these are all entries; without the journal they are what is in memory.
        pending: the entries of which somebody has still to be told.
        expired: those that were given up.
    """

    rollout: Rollout
    entries: Sequence[Entry]
    whole: bool
    receipts: Mapping[int, Receipt]
    pending: Sequence[Entry]
    expired: Sequence[Entry]


class Outbox:
    """Sends what the journal says people should know, until every target has taken it or it is too old.

    Args:
        facts: what a message may say beyond the journal, about the newest rollout.
    """

    def __init__(
        self,
        plans: Plans,
        store: RolloutStore,
        effects: Effects,
        metrics: Metrics,
        clock: Clock,
        facts: Callable[[], Facts],
    ) -> None:
        self.pending: tuple[Entry, ...] = ()
        self.expired: tuple[Entry, ...] = ()
        self._plans = plans
        self._store = store
        self._effects = effects
        self._metrics = metrics
        self._ages = Ages(clock)
        self._facts = facts
        self._wake_up = WakeUp(clock)
        self._log = Log("notify")
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        # What was sent while the journal could not be written: nowhere else is there a place to know it from.
        self._notified_early: dict[tuple[str, str, datetime], frozenset[str]] = {}
        # Rollouts, as folded, of which nothing is open: nothing new can be found in them, so they are not read again.
        self._closed: dict[str, _Look] = {}
        self._expire_seconds = plans.file.notify.expire
        self._routing = Routing.of(plans.file)
        store.listen(lambda _: self._wake_up.set())

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake_up.wait(await self.step())

    async def step(self) -> float:
        """Try once to send everything that is due; gives the seconds after which to try again."""
        try:
            if not await self._effects.leads() and not self._store.unwritten:
                return self._plans.file.receiver.reconcile
            failed = await self._send_due()
        except RefusedError:
            # Somebody else leads, or has told people, meanwhile.
            return self._plans.file.receiver.reconcile
        except CanaryError as error:
            self._log.error("cannot tell people", exception=error)
            failed = True
        if failed:
            return self._backoff.failed()
        self._backoff.succeeded()
        return self._plans.file.receiver.reconcile

    async def _send_due(self) -> bool:
        """Go through all rollouts, the newest first; True when somebody could not be told."""
        looks = [look async for look in self._look()]
        self.pending = tuple(entry for look in looks for entry in look.pending)
        self.expired = tuple(entry for look in looks for entry in look.expired)
        failed = False
        for look in looks:
            for entry in look.pending:
                receipt = look.receipts.get(entry.seq)
                failed |= self._due(entry, look.rollout) and not await self._send(entry, look.rollout, receipt)
            if look.whole and not look.pending and await self._confirm(look.rollout, look.entries):
                self._closed[look.rollout.id] = look
        return failed

    async def _look(self) -> AsyncIterator["_Look"]:
        """What there is to say about each rollout; where nothing was left to do, it is not read again."""
        for rollout in reversed(list(self._store.rollouts.values())):
            closed = self._closed.get(rollout.id)
            if not self._recent(rollout):
                self._closed.pop(rollout.id, None)
            elif closed is not None and closed.rollout is rollout:
                yield closed
            else:
                entries, whole = await self._entries(rollout)
                receipts = receipts_of(entries)
                pending = [entry for entry in entries if self._is_open(entry, receipts.get(entry.seq))]
                expired = [entry for entry in entries if self._gave_up(receipts.get(entry.seq))]
                yield _Look(rollout, entries, whole, receipts, pending, expired)

    def _recent(self, rollout: Rollout) -> bool:
        """Whether something about a rollout may still have to be told, or to be given up."""
        return (
            rollout.ended is None
            or self._ages.seconds(rollout.ended, by_wall=True) < self._expire_seconds + _LOOKS_BACK_SECONDS
        )

    async def _entries(self, rollout: Rollout) -> tuple[Sequence[Entry], bool]:
        """The entries of a rollout, and whether these are all: without the journal they are what is in memory."""
        try:
            return await self._store.entries(rollout.id), True
        except JournalError:
            return [entry for entry in self._store.unwritten if entry.rollout == rollout.id], False

    def _is_open(self, entry: Entry, receipt: Receipt | None) -> bool:
        """Whether somebody still has to be told, or it still has to be written down that nobody was."""
        if not self._routing.anybody(entry) or self._age(entry) >= self._expire_seconds + _LOOKS_BACK_SECONDS:
            return False
        return receipt is None or bool(self._owed(entry, receipt)) or _identity(entry) in self._notified_early

    def _owed(self, entry: Entry, receipt: Receipt | None) -> list[str]:
        """Who has to be told; targets that are new do not hear of what everybody else was told before."""
        if receipt is not None and receipt.expired is not None:
            return []
        owed = {target for target in self._effects.targets if self._routing.wants(audience_of(target), entry)}
        if receipt is not None and receipt.owed is not None:
            owed &= receipt.owed
        elif receipt is not None and self._age(entry) > self._expire_seconds:
            owed = set()
        done = receipt.targets if receipt is not None else frozenset()
        done |= self._notified_early.get(_identity(entry), frozenset())
        return [target for target in self._effects.targets if target in owed - done]

    def _gave_up(self, receipt: Receipt | None) -> bool:
        expired = receipt.expired if receipt is not None else None
        return expired is not None and self._age(expired) < _LOOKS_BACK_SECONDS

    def _age(self, entry: Entry) -> float:
        """How long ago an entry was written, measured; of another machine's entry, since this process first saw it.

        Two wall clocks, or one that was set, must not make a message too old: it is told late rather than never.
        """
        return self._ages.seconds(Moment(entry.at, entry.boot, entry.uptime_seconds))

    def _due(self, entry: Entry, rollout: Rollout) -> bool:
        """A rollback is told when it is complete, or when it takes so long that people must help."""
        if not isinstance(entry, RollbackDecided) or rollout.state is not State.ROLLING_BACK:
            return True
        return self._age(entry) >= self._plans.of(rollout).rollback.converge

    async def _send(self, entry: Entry, rollout: Rollout, receipt: Receipt | None) -> bool:
        """One attempt at everybody who has to be told; True when nobody is left."""
        owed = self._owed(entry, receipt)
        if self._age(entry) > self._expire_seconds:
            await self._give_up(entry, owed)
            return True
        try:
            deliveries = await self._attempt(entry, rollout, owed)
        except JournalError as error:
            # What the journal has not taken can be told nevertheless, and may come after this.
            self._log.error("cannot tell people", exception=error)
            return False
        taken = frozenset(delivery.target for delivery in deliveries if not delivery.error)
        for delivery in deliveries:
            self._metrics.notification("failed" if delivery.error else "sent")
            if delivery.error:
                self._log.warn("target did not take the message", target=delivery.target, error=delivery.error)
        early = self._notified_early.get(_identity(entry), frozenset()) | taken
        # Until it is written who was told, this is all that is known of it: the journal may be away just then.
        if early:
            self._notified_early[_identity(entry)] = early
        if entry.seq and (early or not owed):
            await self._write(entry, sorted(early), owed=[target for target in owed if target not in taken])
            self._notified_early.pop(_identity(entry), None)
        return len(taken) == len(owed)

    async def _attempt(self, entry: Entry, rollout: Rollout, owed: Sequence[str]) -> Sequence[Delivery]:
        """One attempt at each; only the operators' message has the link that rolls back."""
        facts, key, wanted = self._facts_about(rollout), self._key(entry), frozenset(owed)
        found: list[Delivery] = []
        for operators in (True, False):
            theirs = [target for target in owed if (audience_of(target) == "") is operators]
            if not theirs and (not operators or owed):
                continue
            try:
                found += await self._effects.send(
                    entry,
                    message(entry, rollout, facts, key, operators=operators),
                    theirs,
                    still=lambda now: not now.notified.get(entry.seq, frozenset()) >= wanted or not wanted,
                )
            except (JournalError, RefusedError) as error:
                if not found:
                    raise
                # Who has taken it is written down first, or they would be told again and again.
                self._log.error("not everybody could be told yet", exception=error)
        return found

    async def _give_up(self, entry: Entry, owed: Sequence[str]) -> None:
        self._log.error("message dropped, it is too old", key=self._key(entry), targets=", ".join(owed))
        await self._write(entry, self._effects.targets, expired=True)
        self._notified_early.pop(_identity(entry), None)
        self._metrics.notification("expired")

    def _facts_about(self, rollout: Rollout) -> Facts:
        """Where the traffic is, and what does not work, is about the newest rollout only."""
        facts = self._facts()
        newest = self._store.rollout
        if newest is not None and newest.id == rollout.id:
            return facts
        return replace(facts, traffic="", faults={}, prices=())

    def _key(self, entry: Entry) -> str:
        return f"{self._plans.file.service}/{entry.rollout}/{entry.seq or early_key(entry)}"

    async def _write(
        self, entry: Entry, targets: Sequence[str], *, owed: Sequence[str] = (), expired: bool = False
    ) -> None:
        await self._store.propose(
            None,
            Notify(rollout=entry.rollout, about=entry.seq, targets=tuple(targets), owed=tuple(owed), expired=expired),
        )

    async def _confirm(self, rollout: Rollout, entries: Sequence[Entry]) -> bool:
        """Write down that everybody has been told of a rollback; True when nothing is left to write."""
        rollbacks = [entry for entry in entries if isinstance(entry, RollbackDecided)]
        if not rollbacks or Step.NOTIFY in rollout.steps:
            return True
        if self._due(rollbacks[-1], rollout):
            done = CompleteStep(rollout=rollout.id, step=Step.NOTIFY, decision=rollout.decision)
            await self._store.propose(None, done)
        return False


def early_key(entry: Entry) -> str:
    """What stands in a message's key in place of the position that its entry does not have yet."""
    return f"{entry.label}-{entry.at:%Y%m%dT%H%M%S.%f}"


def _identity(entry: Entry) -> tuple[str, str, datetime]:
    """What an entry is known by before it has a position."""
    return entry.rollout, entry.kind.value, entry.at

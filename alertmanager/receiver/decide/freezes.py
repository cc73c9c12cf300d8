"""Change freezes: times in which nothing is started or raised, from the policy, or begun by a person for once.

The receiver waits by itself: a mute interval in Alertmanager does the same to the advance alert, but is seen by nobody,
is no reason that a status could give, and does not keep a person's `start` or `advance` from passing without a word. A
freeze is about raising only; nothing that lowers or holds ever asks for it.
"""

from dataclasses import dataclass
from datetime import datetime

from canary.errors import RefusedError
from canary.policy import freeze as policies
from canary.policy.release import Receiver
from canary.policy.values.timeinterval import ends
from canary.rollout.commands.freezing import BeginFreeze, FreezeLifted, Frozen, LiftFreeze
from canary.rollout.entries import Entry
from canary.rollout.store.store import RolloutStore
from canary.timing.clock import Clock


@dataclass(frozen=True)
class ActiveFreeze:
    """A freeze that is in force.

    Attributes:
        title: which one, for people.
        until: when it ends; None when that is more than a year away.
        actor: the person who began it; empty for one of the policy.
    """

    title: str
    until: datetime | None
    actor: str = ""

    def __str__(self) -> str:
        until = f"{self.until:%Y-%m-%d %H:%M} UTC" if self.until else "further notice"
        by = f" by {self.actor}" if self.actor else ""
        return f"change freeze {self.title}{by}, until {until}"


class Freezes:
    """Knows whether a freeze is in force, and writes those that people begin and lift.

    Args:
        receiver: the section of the policy that has some of them, and the shop's zone, in which they are meant.
    """

    def __init__(self, receiver: Receiver, store: RolloutStore, clock: Clock) -> None:
        self.follow(receiver)
        self._store = store
        self._clock = clock
        self._begun: Frozen | None = None
        store.listen(self._heard)

    def follow(self, receiver: Receiver) -> None:
        """Take over those of the policy."""
        zone = receiver.timezone
        self._planned = [(policies.title(one, zone), policies.interval(one, zone)) for one in receiver.freeze]
        # Where a stretch ends takes a look at every day until then; it is asked for at each scrape.
        self._found: tuple[datetime, ActiveFreeze] | None = None

    @property
    def active(self) -> ActiveFreeze | None:
        """The freeze in force: a person's before the policy's; None when there is none."""
        now = self._clock.now()
        if self._begun is not None and now < self._begun.until:
            reason = f"({self._begun.reason})" if self._begun.reason else "of the service"
            return ActiveFreeze(reason, self._begun.until, self._begun.actor)
        if self._found is None or not self._still(now):
            self._found = self._look(now)
        return self._found[1] if self._found else None

    def require_none(self, place: str = "", remedy: str = "") -> None:
        """Raise RefusedError, with these words, while one is in force: it may have been read only now."""
        if freeze := self.active:
            raise RefusedError(str(freeze), place=place, remedy=remedy)

    def _still(self, now: datetime) -> bool:
        assert self._found is not None
        since, freeze = self._found
        return since <= now and freeze.until is not None and now < freeze.until

    def _look(self, now: datetime) -> tuple[datetime, ActiveFreeze] | None:
        title = next((title for title, interval in self._planned if interval.contains(now)), None)
        if title is None:
            return None
        return now, ActiveFreeze(title, ends([interval for _, interval in self._planned], now))

    async def begin(self, until: datetime, *, actor: str, reason: str, key: str = "") -> Entry:
        """Start and raise nothing until a moment, which replaces the one given before.

        Raises:
            RefusedError: the moment has passed.
            JournalError: it could not be written; nothing has changed.
        """
        command = BeginFreeze(until=until, actor=actor, reason=reason)
        return await self._store.propose(None, command, request=_request("freeze", key))

    async def lift(self, *, actor: str, reason: str, key: str = "") -> Entry:
        """End the freeze that a person began.

        Raises:
            RefusedError: there is none.
            JournalError: it could not be written; nothing has changed.
        """
        begun, request = self._begun, _request("lift", key)
        if (begun is None or begun.until <= self._clock.now()) and not self._store.answered(request):
            planned = self.active
            raise RefusedError(
                f"no freeze that a person began is in force{f'; the policy has {planned}' if planned else ''}",
                place="cannot lift the freeze",
                remedy="`canary start` and `canary advance` take --force" if planned else "",
            )
        return await self._store.propose(None, LiftFreeze(actor=actor, reason=reason), request=request)

    def _heard(self, entry: Entry) -> None:
        if isinstance(entry, Frozen):
            self._begun = entry
        elif isinstance(entry, FreezeLifted):
            self._begun = None


def _request(verb: str, key: str) -> str:
    return f"{verb}:{key}" if key else ""

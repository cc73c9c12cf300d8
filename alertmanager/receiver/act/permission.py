"""The two questions that are asked directly before every effect: *do I lead?*, and *does the journal still want it?*

Between the decision that something be done and the moment when it is done there is always a wait: for a router, for
requests in flight, for a disk. In that time the rollout may end, a person may give a rollback up and start the next
rollout, and another receiver may have taken over. The journal's compare-and-append keeps *entries* from being made of
an outdated past; it cannot keep *effects* from it. Measured before this module existed: a rollback whose router was
down waited for `process.drain`, was given up, the next rollout started, and then the old rollback stopped the new
canary's process.

Hence one rule, kept in one function: between the answers and the effect nothing is awaited.

What remains open is what no question can close: a machine that is paused between the answer and the effect. Other
receivers take over only when a leader has been silent for longer than it may trust its own answer
(`alertmanager.receiver.lead.postgres`), and routers are read back and put right by whoever leads then.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from alertmanager.receiver.lead.leader import Leader
from canary.errors import JournalError, RefusedError
from canary.rollout.kinds import Step
from canary.rollout.state import Rollout
from canary.rollout.store.store import RolloutStore

T = TypeVar("T")

Still = Callable[[Rollout], bool]
"""Whether a rollout, as the journal has it now, still wants the effect."""


class Permission:
    """Asks for lead and journal at the last moment."""

    def __init__(self, store: RolloutStore, leader: Leader) -> None:
        self._store = store
        self._leader = leader

    async def leads(self) -> bool:
        """Whether this receiver leads now: for looks and journal entries that only the leader needs to make."""
        return await self._leader.may_act()

    @property
    def leading(self) -> bool:
        """Whether this receiver led when it last made sure; nothing is done on the strength of this."""
        return self._leader.leading

    async def run(
        self, rollout_id: str, step: Step, action: Callable[[], Awaitable[T]], *, still: Still = lambda _: True
    ) -> T:
        """Do a step of a rollout, if this receiver leads and the journal, read anew, still wants it.

        Args:
            action: what is done; it must reach its effect without waiting for anything before.

        Raises:
            RefusedError: this receiver does not lead, or the rollout has moved on; nothing was done.
            JournalError: the journal cannot be read, or has not yet taken what was decided; nothing was done.
        """
        place = f"step {step.value} of rollout {rollout_id}"

        def require() -> None:
            rollout = self._store.rollouts.get(rollout_id)
            if rollout is None or not still(rollout):
                raise RefusedError("the rollout has moved on", place=place)

        await self.ask(place, require)
        return await action()

    async def ask(self, place: str, require: Callable[[], None], *, within_seconds: float | None = None) -> None:
        """Both questions. Whoever awaits this goes on, with nothing in between, to the effect.

        Args:
            place: what is about to be done, for the refusal.
            require: raises RefusedError when the rollouts, read anew, do not want it any more.
            within_seconds: how long the journal is waited for; None waits for as long as it takes.

        Raises:
            RefusedError: this receiver does not lead, or it is no longer wanted.
            JournalError: the journal cannot be read, or is another one than was read before.
        """
        # A receiver that only stands by need not read the journal to learn that it may not.
        await self.require_lead(place)
        await self._store.refresh(within_seconds=within_seconds)
        # Reading may have lasted longer than a lead does; so this is asked last. What other tasks of this receiver
        # have decided meanwhile is in the store, and looked at without a further wait.
        await self.require_lead(place)
        if self._store.fault:
            # What this receiver knows is of a journal that is no more: nothing can be concluded from it.
            raise JournalError(self._store.fault, place=place, remedy="see `canary status`; `canary adopt` ends this")
        require()

    async def require_lead(self, place: str) -> None:
        """The first question alone.

        Raises:
            RefusedError: this receiver does not lead.
        """
        if not await self.leads():
            raise RefusedError(
                "this receiver does not lead",
                place=place,
                remedy="the one that leads does it, see `leading` in `canary status`",
            )

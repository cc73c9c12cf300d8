"""While a rollout runs: whether the read replica that it is judged by has the rows of its primary.

As the watch of rows that fit together, it has sessions of its own and at most one look at a time, so that no verdict
waits for it. A primary that is unreachable is said once in the log, and costs what is known of it; rows that were found
to be missing stay so until a look finds them, since a hold must not end because nobody could look. A single event
that cannot be read in one of both is told in the same way, and is absent from the metrics.
"""

import asyncio
from collections.abc import Sequence
from typing import Self

from canary.logs import Log
from canary.policy.model import Policy
from canary.rollout.state import Rollout
from canary.timing.clock import Clock
from exporter.source.consistency.primary import Replicated, held_against_primary
from exporter.source.database import OrderDatabase, Patience, Session
from exporter.source.session import open_session
from exporter.source.sources import policy_at

_LISTED = 5
"""Ids that the log names."""


class PrimaryWatch:
    """Looks now and then, and keeps what the last look found.

    Args:
        policy: names a primary.
        replica, primary: sessions that nobody else asks; closed by `close`.
    """

    def __init__(self, policy: Policy, replica: Session, primary: Session, clock: Clock) -> None:
        self._policy = policy_at(policy, None)
        self._replica = replica
        self._primary = primary
        self._clock = clock
        self._log = Log("exporter")
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")
        self._rollout = ""
        self._found: tuple[Replicated, ...] = ()
        self._failed = False
        self._unread: dict[str, str] = {}

    @classmethod
    def of(cls, policy: Policy, clock: Clock) -> Self | None:
        """A watch, where the policy names a primary.

        Raises:
            SecretError: a named secret cannot be read.
            DatabaseUnavailableError: what is named is no address, or a driver is not installed.
        """
        primary = OrderDatabase.primary_of(policy, Patience.LIVE)
        if primary is None:
            return None
        return cls(policy, open_session(OrderDatabase.of(policy, Patience.LIVE)), open_session(primary), clock)

    def follow(self, rollout: Rollout | None) -> None:
        """Begin a look when one is due; returns at once."""
        section = self._policy.database.primary
        if rollout is None or not rollout.running or section is None:
            self._rollout, self._found = "", ()
            return
        if rollout.id != self._rollout:
            self._rollout, self._found, self._looked_at = rollout.id, (), float("-inf")
        idle = self._looking is None or self._looking.done()
        if idle and self._clock.monotonic() - self._looked_at >= section.interval:
            self._looked_at = self._clock.monotonic()
            self._looking = asyncio.create_task(self._look(rollout.id, section.rows))

    async def settled(self) -> None:
        """Wait for a look that is under way."""
        if self._looking is not None:
            await asyncio.gather(self._looking, return_exceptions=True)

    def found(self, rollout: str) -> Sequence[Replicated]:
        """What the last look found while this rollout ran."""
        return self._found if rollout == self._rollout else ()

    async def close(self) -> None:
        """End a look that is under way, and give the connections back."""
        if self._looking is not None:
            self._looking.cancel()
        await self.settled()
        await self._replica.close()
        await self._primary.close()

    async def _look(self, rollout: str, most: int) -> None:
        known = {one.event: one for one in self._found}
        try:
            found = await held_against_primary(self._policy, self._replica, self._primary, self._clock, most=most)
        except Exception as error:  # noqa: BLE001  # whatever it is, the next look may find more
            if not self._failed:
                self._log.error("the replica cannot be held against its primary", exception=error)
            self._failed, self._found = True, tuple(one for one in self._found if one.faulty)
            return
        self._failed = False
        if rollout != self._rollout:
            return
        self._tell_unread(found)
        self._found = tuple(known.get(one.event, one) if one.unread else one for one in found)
        for one in self._found:
            before = known[one.event].faulty if one.event in known else {}
            for kind, ids in one.faulty.items():
                if ids != before.get(kind):
                    self._log.warn(
                        f"rows of the replica are {kind}, compared with its primary's",
                        event=one.event, rows=f"{len(ids)} of {one.rows}", newest_ids=", ".join(ids[:_LISTED]),
                    )  # fmt: skip

    def _tell_unread(self, found: Sequence[Replicated]) -> None:
        """Say of which events nothing is known, once for each reason."""
        unread = {one.event: str(one.unread) for one in found if one.unread}
        for event, why in unread.items():
            if self._unread.get(event) != why:
                self._log.warn("rows of the replica are not compared with its primary's", event=event, error=why)
        self._unread = unread

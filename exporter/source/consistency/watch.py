"""While a rollout runs: whether the canary's rows fit together as well as stable's.

It is done alongside the refreshes, by sessions of its own and never more than one look at a time, so that no verdict
waits for it however slow the database is. Each look reads a bounded number of newest rows, none from before the
rollout, and is rare: books that are wrong are found minutes later than harm, and cost the database little.

Whoever looks again and again finds by chance what one look would not. So each look has its own part of the error
probability, alpha / (k (k + 1)) of the k-th interval since the start, which add up to `evidence.alpha` whatever the
rollout's length; it counts by the rollout's age, because a restart must not begin again with the largest part. What was
proven once stays so until a single look would no longer say it: a hold must not end because the parts get smaller, nor
because of a look that failed. A restart forgets what was proven, and a hold would end with it; so the first look
afterwards is preceded by some of those that there were, each at the rows of its time and by its own part.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from canary.errors import DatabaseSchemaError
from canary.logs import Log
from canary.policy.model import Policy
from canary.policy.reading.document import Location
from canary.rollout.state import Rollout
from canary.threads import Threads
from canary.timing.clock import Clock
from exporter.source.consistency.faults import Counts, KnownIds, RowFault, chance, known_ids, row_faults
from exporter.source.consistency.newest import NewestRows, newest_rows
from exporter.source.database import Session
from exporter.source.sources import Sources, policy_at


@dataclass(frozen=True)
class Compared:
    """One kind of fault of one event's rows, by version.

    Attributes:
        fault: one of `names.FAULTS`.
        column: a column of the event, or the event of which rows should have come.
        counts: of stable and canary, as far as there are enough rows.
        broken: the canary has more of them than chance explains.
    """

    event: str
    fault: str
    column: str
    counts: Counts
    broken: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the others."""
        return self.event, self.fault, self.column


class ConsistencyWatch:
    """Looks now and then, and keeps what the last look found.

    Args:
        sources: sessions that nobody else asks; closed by `close`.
        threads: where rows are compared.
    """

    def __init__(self, policy: Policy, sources: Sources, clock: Clock, threads: Threads) -> None:
        self._policy = policy
        self._sources = sources
        self._clock = clock
        self._threads = threads
        self._log = Log("exporter")
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")
        self._looked = False
        self._rollout = ""
        self._found: tuple[Compared, ...] = ()
        self._proven: set[tuple[str, str, str]] = set()
        self._failed: set[str | None] = set()

    def follow(self, rollout: Rollout | None) -> None:
        """Begin a look when one is due; returns at once."""
        running = rollout is not None and rollout.running
        interval = self._policy.database.consistency.interval
        if not running or rollout is None or not self._policy.database.consistency.enabled:
            self._rollout, self._found = "", ()
            return
        if rollout.id != self._rollout:
            self._rollout, self._found, self._looked_at = rollout.id, (), float("-inf")
            self._looked = False
            self._proven.clear()
        idle = self._looking is None or self._looking.done()
        if idle and self._clock.monotonic() - self._looked_at >= interval:
            self._looked_at = self._clock.monotonic()
            self._looking = asyncio.create_task(self._look(rollout))

    async def settled(self) -> None:
        """Wait for a look that is under way."""
        if self._looking is not None:
            await asyncio.gather(self._looking, return_exceptions=True)

    def found(self, rollout: str) -> Sequence[Compared]:
        """What the last look found about this rollout; of what it could not read, only what was proven."""
        return self._found if rollout == self._rollout else ()

    async def close(self) -> None:
        """End a look that is under way, and give the connections back."""
        if self._looking is not None:
            self._looking.cancel()
        await self.settled()
        await self._sources.close()

    async def _look(self, rollout: Rollout) -> None:
        now = self._clock.now().timestamp()
        earlier = [] if self._looked else self._earlier(rollout, now)
        for at in (*earlier, None):
            compared = await self._compared(rollout, now if at is None else at, at)
            if rollout.id != self._rollout:
                return
            self._take(rollout, compared)
        # Where nothing could be read, the next look is the first one.
        self._looked = self._looked or len(self._failed) < len(self._sources.sessions)

    def _earlier(self, rollout: Rollout, now: float) -> list[float]:
        """When the first, second, fourth, eighth look and so on were over: few, and none is long after another."""
        started, interval = rollout.started_at.timestamp(), self._policy.database.consistency.interval
        found, looks = [], 1
        while (at := started + looks * interval - 1.0) < now - interval:
            found.append(at)
            looks *= 2
        return found

    def _take(self, rollout: Rollout, compared: tuple[Compared, ...]) -> None:
        self._found = compared
        for one in compared:
            if one.broken and one.key not in self._proven:
                (such, rows), (others, of) = one.counts[rollout.canary], one.counts[rollout.stable]
                self._log.warn(
                    "rows of the canary fit together worse than stable's",
                    event=one.event,
                    fault=one.fault,
                    column=one.column,
                    canary=f"{such} of {rows}",
                    stable=f"{others} of {of}",
                )
            if len(one.counts) > 1:  # what could not be compared this time is as proven as before
                (self._proven.add if one.broken else self._proven.discard)(one.key)

    async def _compared(self, rollout: Rollout, now: float, until: float | None) -> tuple[Compared, ...]:
        """What rows are like at *now*, those from after *until* left out."""
        started = rollout.started_at.timestamp()
        limits = self._policy.database.consistency
        faults: list[Compared] = []
        for name, session in self._sources.sessions.items():
            policy = policy_at(self._policy, name)
            try:
                looked = await self._newest(policy, session, now, started, until)
                there = await known_ids(policy, session, looked)
                faults += await self._threads.run(partial(_counted, policy, looked, there, now, rollout))
            except Exception as error:  # noqa: BLE001  # its part stays as proven as it was; the others are looked at
                ours = [one for one in self._found if one.event in policy.database.events]
                faults += [one for one in ours if one.key in self._proven]
                if name not in self._failed:
                    about = {} if name is None else {"source": name}
                    self._log.error("rows of both versions cannot be compared", exception=error, **about)
                self._failed.add(name)
            else:
                self._failed.discard(name)
        faults = [one for one in faults if f"{one.event}.{one.column}" not in limits.ignore]
        both = [one for one in faults if len(one.counts) > 1]
        look = int(max(0.0, now - started) // limits.interval) + 1
        alpha = self._policy.evidence.alpha / max(1, len(both))
        return tuple(
            Compared(
                *one.key,
                one.counts,
                len(one.counts) > 1
                and chance(rollout.canary, one.counts)
                <= (alpha if one.key in self._proven else alpha / (look * (look + 1))),
            )
            for one in faults
        )

    async def _newest(
        self, policy: Policy, session: Session, now: float, started: float, until: float | None
    ) -> Mapping[str, NewestRows]:
        """The newest rows of every event whose table is there; the schema watch tells of the others."""
        most, found = policy.database.consistency.rows, {}
        for name, event in policy.database.events.items():
            with contextlib.suppress(DatabaseSchemaError):
                found[name] = await newest_rows(
                    policy, session, name, event, _place, now, since=started, until=until, most=most
                )
        return found


def _place(location: Location) -> str:
    return ".".join(map(str, location))


def _counted(
    policy: Policy, looked: Mapping[str, NewestRows], there: Mapping[str, KnownIds], now: float, rollout: Rollout
) -> list[Compared]:
    """What the rows of the rollout's two versions are like; only what was looked at in one of them.

    Where one column names rows of several events, there is one series of it: of the event that more rows lack.
    """
    found: dict[tuple[str, str, str], Compared] = {}
    for fault in row_faults(policy, looked, there, now):
        one = Compared(fault.event, fault.fault, fault.column, _of_both(fault, rollout))
        if one.counts and (one.key not in found or _faulty(one) > _faulty(found[one.key])):
            found[one.key] = one
    return list(found.values())


def _faulty(one: Compared) -> int:
    return sum(such for such, _ in one.counts.values())


def _of_both(fault: RowFault, rollout: Rollout) -> Counts:
    return {
        version: counts for version, counts in fault.counts().items() if version in (rollout.stable, rollout.canary)
    }

"""Keeps one service's knowledge fresh: refresh after refresh, by one policy after the other, until it is cancelled.

Nothing that goes wrong with a policy, a database or a row ends the loop; it is counted, logged once and tried again
after a pause that grows. It knows no server: what it finds it tells as an `Update`, to a shell in the same process
or, where one exporter serves several services, to the shell's process.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

from canary.errors import CanaryError, DatabaseError, Fault, PolicyError
from canary.logs import Log
from canary.policy.model import Policy
from canary.policy.pinning.changes import changes
from canary.policy.pinning.digest import deciding, digest
from canary.policy.pinning.pinned import mapped_as
from canary.policy.pinning.reload import require_reloadable
from canary.rollout.plan.plans import Plans
from canary.rollout.state import Rollout
from canary.threads import SharedThreads, Threads
from canary.timing.backoff import Backoff
from canary.timing.clock import Clock, SystemClock
from exporter.faults import UNEXPECTED
from exporter.journals import Journals
from exporter.judge.blindness import clock_kpis
from exporter.judge.exactfile import ExactFiles
from exporter.judge.schedule import watched
from exporter.publish.counters import Counters
from exporter.publish.snapshot import Snapshot
from exporter.publish.statefile import StateFile
from exporter.publish.update import Tell, Update
from exporter.refresher import Refresher
from exporter.source.consistency.primarywatch import PrimaryWatch
from exporter.source.consistency.watch import ConsistencyWatch
from exporter.source.database import OrderDatabase, Patience
from exporter.source.sources import Sources
from exporter.source.watch.clock import database_clock

RELOADED = frozenset(field.name for field in fields(Policy)) - {"service"}
"""What a reload takes over: all but the name, which is a label on every series that is registered already."""
_SAVE_SECONDS = 10
"""How often the counters are saved. A crash loses what was shown since, and the counters then wait for the ledger."""
_FIRST_WAIT_SECONDS = 1.0
"""The first pause: a restart of the database is over in seconds."""
_LONGEST_WAIT_SECONDS = 10.0
"""The longest pause between attempts: well below the 120 s after which data count as stale, so that a database that is
back is noticed before anybody is told that it was away."""
_CLOCK_SECONDS = 15.0
"""How often the database's clock is looked at: a time server that steps it does so once."""
_LEAST_JITTER = 0.5
"""A pause is shortened at random by up to this part: several exporters may wait for the same database."""
_BUSY_SECONDS = 0.05
"""Between two refreshes while the past is being counted: as fast as possible, with room for scrapes in between."""


@dataclass
class Loop:
    """One policy's knowledge, kept fresh.

    Attributes:
        load: reads the policy; called again on reload.
        state_file: where counters survive a restart; relative paths start at the policy file's folder. The folder
            next to it, named like it with `-evidence`, has what the judgement must not forget.
        threads: where judging and writing the state file run.
        jitter: spreads the retries of several exporters.
    """

    load: Callable[[], Policy]
    state_file: str = "exporter-state.json"
    clock: Clock = field(default_factory=SystemClock)
    threads: Threads = field(default_factory=SharedThreads)
    jitter: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        """Read the policy.

        Raises:
            PolicyError: it is faulty.
        """
        self._log = Log("exporter")
        self._plans = Plans(self.load())
        self._snapshot = Snapshot(self.policy.service)
        # It is asked for at each look, and takes a twentieth of what a small shop's look costs.
        self._published_last = self.policy, digest(self.policy)
        self._reloaded = asyncio.Event()
        # What the journal said last; a rollout is judged by the policy that it began with.
        self._rollout: Rollout | None = None
        self.refresher: Refresher | None = None

    @property
    def policy(self) -> Policy:
        """The file's, as it was last read."""
        return self._plans.file

    async def run(self, tell: Tell) -> None:
        """Refresh under one policy after the other, and tell what is known then."""
        while True:
            self._reloaded.clear()
            policy = self._in_force()
            try:
                await self._under(policy, tell)
            except Exception as error:  # noqa: BLE001  # whatever it is, it may be gone after a while or a reload
                self._log.error("cannot work; trying again", exception=error)
                label = error.label if isinstance(error, CanaryError) else UNEXPECTED
                self._snapshot = Snapshot(
                    policy.service, counters=self._snapshot.counters, errors={label: 1}, database_up=False
                )
                tell(Update(self._snapshot, self._published(policy)))
                await self._pause(_LONGEST_WAIT_SECONDS)

    async def reload(self) -> None:
        """Read the policy again.

        Raises:
            CanaryError: it cannot be taken over; the one before stays in force.
        """
        policy = self.load()
        require_reloadable(self.policy, policy, RELOADED)
        self._require_mapping(policy)
        OrderDatabase.primary_of(policy, Patience.LIVE)
        Sources.of(policy, Patience.LIVE)  # secrets and the address must be usable before the old policy goes
        self._plans.file = policy
        self._reloaded.set()

    def _in_force(self) -> Policy:
        """The file's policy; while a rollout is judged, with everything that decides as that rollout runs by it.

        The mapping stays the file's: tables and columns are what they are today.
        """
        rollout, own = self._rollout, self.policy
        if rollout is None or not watched(rollout, own, self.clock.now().timestamp()):
            return own
        return mapped_as(self._plans.begun_with(rollout), own)

    def _published(self, policy: Policy) -> str:
        """The digest of what a running rollout is judged by, or else of what the next one will be.

        For two days after its promotion a release is watched by its own limits. That says nothing about the next one,
        which an older digest would keep from starting for as long, whatever was reloaded.
        """
        running = self._rollout is not None and self._rollout.running
        of = policy if running else self.policy
        if of is not self._published_last[0]:
            self._published_last = of, digest(of)
        return self._published_last[1]

    def _require_mapping(self, policy: Policy) -> None:
        """Refuse to judge a running rollout by other tables and columns than it began with."""
        rollout = self._rollout
        if rollout is None or rollout.pinned is None or not rollout.running:
            return
        begun = self._plans.begun_with(rollout)
        differing = changes(deciding(begun), deciding(mapped_as(begun, policy)))
        if differing:
            what = f"decides for rollout {rollout.id}, which is running: {'; '.join(map(str, differing))}"
            raise PolicyError([Fault("database", what, "reload after it has ended, or `canary amend` it first")])

    async def _under(self, policy: Policy, tell: Tell) -> None:
        sources = Sources.of(policy, Patience.LIVE)
        path = Path(policy.base) / self.state_file
        state = StateFile(path, policy.service)
        remembered = state.read()
        now = self.clock.now().timestamp()
        since = remembered.since if remembered is not None else now - policy.database.since
        counters = Counters(policy.database.max_currencies)
        if remembered is not None:
            counters.values.update(remembered.values)
        files = ExactFiles(path.with_name(f"{path.stem}-evidence"), policy.service)
        consistency = ConsistencyWatch(policy, Sources.of(policy, Patience.LIVE), self.clock, self.threads)
        refresher = self.refresher = Refresher(
            policy, sources, self.clock, counters, since, self.threads, files, consistency=consistency
        )
        refresher.primary = primary = PrimaryWatch.of(policy, self.clock)
        if not self._snapshot.counters:
            self._snapshot = refresher.snapshot  # what the counters had reached is shown at once
        tell(self._update(refresher, self._published(policy), None))
        self._log.info("reading the order database", dialects=sources.dialects, refresh=policy.database.refresh)
        async with contextlib.AsyncExitStack() as ending:  # in this order backwards, whatever one of them raises
            for part in (sources, consistency, primary, refresher):
                if part is not None:
                    ending.push_async_callback(part.close)
            ending.callback(state.write, since, counters.values)
            await self._loop(policy, refresher, state, tell)

    async def _loop(self, policy: Policy, refresher: Refresher, state: StateFile, tell: Tell) -> None:
        backoff = Backoff(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        failed = False
        saved_at = self.clock.monotonic()
        clock_at = float("-inf")
        async with Journals(policy, self._log) as journals:
            while not self._reloaded.is_set():
                began = self.clock.monotonic()
                if began - clock_at >= _CLOCK_SECONDS:
                    clock_at = began
                    await self._look_at_clock(refresher)
                await journals.follow(refresher)
                self._rollout = refresher.rollout
                if self._in_force() != policy:
                    self._log.info("the rollout runs by another policy than the file; judging by that one")
                    return
                failed = not await self._refresh(refresher, log=not failed)
                self._snapshot = refresher.snapshot
                took = self.clock.monotonic() - began
                tell(self._update(refresher, self._published(policy), took))
                if self.clock.monotonic() - saved_at >= _SAVE_SECONDS:
                    await self.threads.run(partial(state.write, refresher.since, dict(refresher.counters.values)))
                    saved_at = self.clock.monotonic()
                if failed:
                    await self._pause(backoff.failed() * self.jitter.uniform(_LEAST_JITTER, 1.0))
                else:
                    backoff.succeeded()
                    await self._pause(policy.database.refresh - took if refresher.complete else _BUSY_SECONDS)

    async def _look_at_clock(self, refresher: Refresher) -> None:
        """How far the database's clock is away; one that is unreachable is as it was."""
        session = refresher.sources.sessions.get(None)
        if session is None:
            return
        with contextlib.suppress(DatabaseError):
            found = await database_clock(session, self.clock)
            seconds = found.seconds if found is not None and abs(found.seconds) > found.uncertain_seconds else 0.0
            if bool(clock_kpis(refresher.policy, seconds)) != bool(
                clock_kpis(refresher.policy, refresher.clock_ahead_seconds)
            ):
                self._log.warn("the order database's clock changed", ahead_seconds=round(seconds, 1))
            refresher.clock_ahead_seconds = seconds

    def _update(self, refresher: Refresher, in_force: str, took_seconds: float | None) -> Update:
        rollout = refresher.rollout
        said = "" if rollout is None else f"{rollout.id}: {rollout.canary}, {rollout.state.value}"
        return Update(self._snapshot, in_force, took_seconds, said, tuple(refresher.schema.problems))

    async def _refresh(self, refresher: Refresher, *, log: bool) -> bool:
        """Refresh once; whether it worked. Only the first failure of a row of them is logged."""
        try:
            await refresher.refresh()
        except DatabaseError as error:
            if log:
                self._log.error("the order database cannot be read", exception=error)
            return False
        except Exception as error:  # noqa: BLE001  # the counters and the next refresh are not lost for it
            refresher.failed(error)
            if log:
                self._log.error("a refresh failed unexpectedly; trying again", exception=error)
            return False
        return True

    async def _pause(self, seconds: float) -> None:
        """Wait, or go on at once when the policy was reloaded."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.01)):
                await self._reloaded.wait()

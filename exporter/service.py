"""The exporter as a service: the web shell around the refresher, the journal, the state file, reload and back-off.

One task refreshes in the background, and a scrape only reads what the last refresh left: a scrape that asked the
database would hold up Prometheus whenever the database is slow, and two Prometheus servers would ask twice.

Nothing that goes wrong with a policy, a database or a row ends the process; it is counted, logged once and tried again
after a pause that grows. Only when the refreshing task itself ends, the process ends with it: an exporter that answers
scrapes and knows nothing new would look healthy to its supervisor.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram

from canary import names
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
from canary.units import format_ratio
from canary.web.metrics import PolicyCollector, service_registry
from canary.web.options import WebOptions
from canary.web.service import Service
from canary.web.strangers.peers import host_of
from exporter.faults import UNEXPECTED
from exporter.journals import Journals
from exporter.judge.exactfile import ExactFiles
from exporter.judge.schedule import watched
from exporter.publish.collector import ExporterCollector, VerdictCollector
from exporter.publish.counters import Counters
from exporter.publish.snapshot import Snapshot
from exporter.publish.statefile import StateFile
from exporter.refresher import Refresher
from exporter.source.database import Patience
from exporter.source.sources import Sources

_RELOADED = frozenset(field.name for field in fields(Policy)) - {"service"}
"""What a reload takes over: all but the name, which is a label on every series that is registered already."""
_SAVE_SECONDS = 10
"""How often the counters are saved. A crash loses what was shown since, and the counters then wait for the ledger."""
_FIRST_WAIT_SECONDS = 1.0
"""The first pause: a restart of the database is over in seconds."""
_LONGEST_WAIT_SECONDS = 10.0
"""The longest pause between attempts: well below the 120 s after which data count as stale, so that a database that is
back is noticed before anybody is told that it was away."""
_LEAST_JITTER = 0.5
"""A pause is shortened at random by up to this part: several exporters may wait for the same database."""
_BUSY_SECONDS = 0.05
"""Between two refreshes while the past is being counted: as fast as possible, with room for scrapes in between."""
_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a few milliseconds, as usual, to twice the default `database.statement_timeout`, in seconds."""


@dataclass
class Exporter:
    """Serves one policy until it is stopped.

    Attributes:
        load: reads the policy; called again on reload.
        options: how to serve.
        state_file: where counters survive a restart; relative paths start at the policy file's folder. The folder
            next to it, named like it with `-evidence`, has what the judgement must not forget.
        threads: where judging and writing the state file run.
        jitter: spreads the retries of several exporters.
        registry: what `/metrics` shows.
    """

    load: Callable[[], Policy]
    options: WebOptions
    state_file: str = "exporter-state.json"
    clock: Clock = field(default_factory=SystemClock)
    threads: Threads = field(default_factory=SharedThreads)
    jitter: random.Random = field(default_factory=random.Random)
    registry: CollectorRegistry = field(default_factory=service_registry)

    def __post_init__(self) -> None:
        """Read the policy.

        Raises:
            PolicyError: it is faulty.
        """
        self._log = Log("exporter")
        self._plans = Plans(self.load())
        self._snapshot = Snapshot(self._plans.file.service)
        self._reloaded = asyncio.Event()
        # What the journal said last; a rollout is judged by the policy that it began with.
        self._rollout: Rollout | None = None
        self._refresher: Refresher | None = None
        registry = self.registry
        registry.register(ExporterCollector(lambda: self._snapshot, self.clock))
        service = self._plans.file.service
        registry.register(PolicyCollector("exporter", service, lambda: digest(self._in_force())))
        self._duration = Histogram(
            names.REFRESH_DURATION_SECONDS,
            "How long a refresh from the order database took.",
            [names.SERVICE],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.web = Service(
            name="exporter",
            options=self.options,
            registry=registry,
            reload=self._reload,
            ready=lambda: self._snapshot.refreshed_at is not None or bool(self._snapshot.errors),
            hosts=lambda: (host_of(self._plans.file.signals.exporter_target),),
            status=self._status,
            clock=self.clock,
            parts={names.VERDICTS_PATH: VerdictCollector(lambda: self._snapshot)},
        )

    async def run(self) -> None:
        """Serve and refresh until a signal ends it.

        Raises:
            WebConfigError: an address cannot be listened on.
            Exception: refreshing ended by a fault of this program, and nothing could be known any more.
        """
        async with self.refreshing():
            await self.web.run()

    @contextlib.asynccontextmanager
    async def refreshing(self) -> AsyncIterator[None]:
        """Refresh in the background while the block runs.

        What goes wrong with the policy, a database or a row is counted, logged and tried again. Only when refreshing
        itself ends, the service ends too, and with the fault: a process that can do nothing must not look healthy.
        """
        task = asyncio.create_task(self._work())
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def snapshot(self) -> Snapshot:
        """The newest knowledge."""
        return self._snapshot

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log.error("the refresher failed; the exporter ends", exception=task.exception())
            self.web.stop()

    async def _reload(self) -> None:
        policy = self.load()
        require_reloadable(self._plans.file, policy, _RELOADED)
        self._require_mapping(policy)
        Sources.of(policy, Patience.LIVE)  # secrets and the address must be usable before the old policy goes
        self._plans.file = policy
        self._reloaded.set()

    def _in_force(self) -> Policy:
        """The file's policy; while a rollout is judged, with everything that decides as that rollout runs by it.

        The mapping stays the file's: tables and columns are what they are today.
        """
        rollout, own = self._rollout, self._plans.file
        if rollout is None or not watched(rollout, own, self.clock.now().timestamp()):
            return own
        return mapped_as(self._plans.begun_with(rollout), own)

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

    async def _work(self) -> None:
        """Refresh under one policy after the other."""
        while True:
            self._reloaded.clear()
            policy = self._in_force()
            try:
                await self._under(policy)
            except Exception as error:  # noqa: BLE001  # whatever it is, it may be gone after a while or a reload
                self._log.error("cannot work; trying again", exception=error)
                label = error.label if isinstance(error, CanaryError) else UNEXPECTED
                self._snapshot = Snapshot(
                    policy.service, counters=self._snapshot.counters, errors={label: 1}, database_up=False
                )
                await self._pause(_LONGEST_WAIT_SECONDS)

    async def _under(self, policy: Policy) -> None:
        sources = Sources.of(policy, Patience.LIVE)
        path = Path(policy.base) / self.state_file
        state = StateFile(path, policy.service)
        remembered = state.read()
        now = self.clock.now().timestamp()
        since = remembered.since if remembered is not None else now - policy.database.since
        counters = Counters(policy.database.max_currencies)
        if remembered is not None:
            counters.values.update(remembered.values)
        path = Path(policy.base) / self.state_file
        files = ExactFiles(path.with_name(f"{path.stem}-evidence"), policy.service)
        refresher = self._refresher = Refresher(policy, sources, self.clock, counters, since, self.threads, files)
        if not self._snapshot.counters:
            self._snapshot = refresher.snapshot  # what the counters had reached is shown at once
        self._log.info("reading the order database", dialects=sources.dialects, refresh=policy.database.refresh)
        try:
            await self._loop(policy, refresher, state)
        finally:
            state.write(since, counters.values)
            await refresher.close()
            await sources.close()

    async def _loop(self, policy: Policy, refresher: Refresher, state: StateFile) -> None:
        backoff = Backoff(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        failed = False
        saved_at = self.clock.monotonic()
        async with Journals(policy, self._log) as journals:
            while not self._reloaded.is_set():
                began = self.clock.monotonic()
                await journals.follow(refresher)
                self._rollout = refresher.rollout
                if self._in_force() != policy:
                    self._log.info("the rollout runs by another policy than the file; judging by that one")
                    return
                failed = not await self._refresh(refresher, log=not failed)
                self._snapshot = refresher.snapshot
                took = self.clock.monotonic() - began
                self._duration.labels(policy.service).observe(took)
                if self.clock.monotonic() - saved_at >= _SAVE_SECONDS:
                    await self.threads.run(partial(state.write, refresher.since, dict(refresher.counters.values)))
                    saved_at = self.clock.monotonic()
                if failed:
                    await self._pause(backoff.failed() * self.jitter.uniform(_LEAST_JITTER, 1.0))
                else:
                    backoff.succeeded()
                    await self._pause(policy.database.refresh - took if refresher.complete else _BUSY_SECONDS)

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

    def _status(self) -> Mapping[str, str]:
        snapshot = self._snapshot
        refresher = self._refresher
        rollout = refresher.rollout if refresher is not None else None
        problems = refresher.schema.problems if refresher is not None else ()
        return {
            "Service": snapshot.service,
            "Order database": {None: "not asked yet", True: "readable", False: "not readable"}[snapshot.database_up],
            "Schema": "; ".join(problems) or ("compatible" if snapshot.schema_compatible else "not looked at yet"),
            "Past counted": format_ratio(snapshot.backfill_ratio),
            "Rollout": "none" if rollout is None else f"{rollout.id}: {rollout.canary}, {rollout.state.value}",
            "Blind": ", ".join(sorted(snapshot.blind)) or "no",
        }

"""The exporter as a service: the web shell around the work that keeps its knowledge fresh.

A scrape only reads what the last refresh left: a scrape that asked the database would hold up Prometheus whenever the
database is slow, and two Prometheus servers would ask twice. The work is the loop itself, or a process that runs it.

Only when the work itself ends, the service ends with it: an exporter that answers scrapes and knows nothing new would
look healthy to its supervisor.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, Histogram

from canary import names
from canary.logs import Log
from canary.policy.model import Policy
from canary.policy.pinning.digest import digest
from canary.timing.clock import Clock, SystemClock
from canary.units import format_ratio
from canary.web.metrics import PolicyCollector, service_registry
from canary.web.options import WebOptions
from canary.web.service import Service
from canary.web.strangers.peers import host_of
from exporter.publish.collector import ExporterCollector, VerdictCollector
from exporter.publish.snapshot import Snapshot
from exporter.publish.update import Tell, Update

_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a few milliseconds, as usual, to twice the default `database.statement_timeout`, in seconds."""


class Work(Protocol):
    """What finds out what is shown."""

    @property
    def policy(self) -> Policy:
        """The file's, as it was last read."""
        ...

    async def run(self, tell: Tell) -> None:
        """Tell each update, until cancelled."""
        ...

    async def reload(self) -> None:
        """Read the policy again, or raise `CanaryError` and keep the one before."""
        ...


@dataclass
class Exporter:
    """Serves what the work on one policy finds, until it is stopped.

    Attributes:
        options: how to serve.
        registry: what `/metrics` shows.
    """

    work: Work
    options: WebOptions
    clock: Clock = field(default_factory=SystemClock)
    registry: CollectorRegistry = field(default_factory=service_registry)

    def __post_init__(self) -> None:
        """Know nothing yet.

        Raises:
            WebConfigError: the web configuration is faulty.
        """
        policy = self.work.policy
        self._log = Log("exporter")
        self._known = Update(Snapshot(policy.service), digest(policy))
        registry = self.registry
        registry.register(ExporterCollector(lambda: self.snapshot, self.clock))
        registry.register(PolicyCollector("exporter", policy.service, lambda: self._known.digest))
        self._duration = Histogram(
            names.REFRESH_DURATION_SECONDS,
            "How long a refresh from the order database took.",
            [names.SERVICE],
            buckets=_BUCKETS,
            registry=registry,
        ).labels(policy.service)
        self.web = Service(
            name="exporter",
            options=self.options,
            registry=registry,
            reload=self.work.reload,
            ready=lambda: self.snapshot.refreshed_at is not None or bool(self.snapshot.errors),
            hosts=lambda: (host_of(self.work.policy.signals.exporter_target),),
            status=self._status,
            clock=self.clock,
            parts={names.VERDICTS_PATH: VerdictCollector(lambda: self.snapshot)},
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
        task = asyncio.create_task(self.work.run(self._take))
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
        return self._known.snapshot

    def _take(self, update: Update) -> None:
        self._known = update
        if update.took_seconds is not None:
            self._duration.observe(update.took_seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log.error("the refresher failed; the exporter ends", exception=task.exception())
            self.web.stop()

    def _status(self) -> Mapping[str, str]:
        snapshot, known = self.snapshot, self._known
        schema = "compatible" if snapshot.schema_compatible else "not looked at yet"
        return {
            "Service": snapshot.service,
            "Order database": {None: "not asked yet", True: "readable", False: "not readable"}[snapshot.database_up],
            "Schema": "; ".join(known.problems) or schema,
            "Past counted": format_ratio(snapshot.backfill_ratio),
            "Rollout": known.rollout or "none",
            "Blind": ", ".join(sorted(snapshot.blind)) or "no",
        }

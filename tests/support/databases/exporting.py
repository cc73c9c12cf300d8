"""The exporter's refresher on a given database, driven by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from canary.policy.database.section import Database
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Policy
from canary.threads import SharedThreads
from canary.timing.clock import Clock
from exporter.publish.counters import Counters
from exporter.refresher import Refresher
from exporter.source.database import Patience
from exporter.source.sources import order_sources
from tests.support.clock import FakeClock


def policy_for(url: str, base: Path | str = ".", **database: Any) -> Policy:
    """The default policy on a database."""
    return Policy(service="shop", base=str(base), kpis=dict(DEFAULT_KPIS), database=Database(url=url, **database))


@asynccontextmanager
async def refresher_on(policy: Policy, clock: Clock, counters: Counters | None = None) -> AsyncIterator[Refresher]:
    """A refresher whose connection is closed at the end."""
    since = clock.now().timestamp() - policy.database.since
    counters = counters or Counters(policy.database.max_currencies)
    async with order_sources(policy, Patience.LIVE) as sources:
        refresher = Refresher(policy, sources, clock, counters, since, SharedThreads())
        yield refresher
        await refresher.close()


async def settle(refresher: Refresher, clock: FakeClock, times: int = 5) -> None:
    """Refresh until the past is counted."""
    for _ in range(times):
        await refresher.refresh()
        if refresher.complete:
            return
        clock.advance(1)
    feeds = [(feed.stream.name, feed.fault, feed.next_hour, feed.held.dirty) for feed in refresher.feeds]
    assert refresher.complete, feeds


def published(refresher: Refresher) -> dict[str, dict[tuple[str, ...], float]]:
    """The counters as the oracle writes them."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for series, value in refresher.snapshot.counters.items():
        labels = (series.version, series.label) if series.label else (series.version,)
        found.setdefault(series.metric, {})[labels] = value
    return found


def kpis(refresher: Refresher) -> dict[tuple[str, str], float]:
    """KPI values by name and version."""
    return {(kpi.kpi, kpi.version): kpi.value for kpi in refresher.snapshot.kpis or ()}


def with_events(policy: Policy, **changes: Any) -> Policy:
    """The policy with changed database settings."""
    return replace(policy, database=replace(policy.database, **changes))

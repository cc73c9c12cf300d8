"""Keeps the exporter's knowledge fresh: reads the database in the background, makes a snapshot after each refresh."""

import asyncio
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from canary.clock import Clock
from canary.errors import DatabaseError, DatabaseSchemaError, DatabaseUnavailableError
from canary.logs import Log
from canary.policy.kpis import events_of
from canary.policy.model import Policy
from canary.rollout import Rollout, State
from exporter.connection import Session
from exporter.counters import MAX_VERSIONS, Counters, in_units
from exporter.evidence.judge import RolloutEvidence
from exporter.experiments import Arm, Experiments
from exporter.feed import Feed
from exporter.judgement import Judgement, role_values
from exporter.kpis import KpiValue, kpi_values
from exporter.ledger import Key, Tally
from exporter.orders import Orders, merged
from exporter.reconciler import Reconciler
from exporter.replica import replica_lag_seconds
from exporter.schema import SchemaWatch
from exporter.snapshot import Snapshot
from exporter.streams import FINE_SECONDS, streams_of
from exporter.table import Codes, Table
from exporter.zones import Zone

_SCHEMA_SECONDS = 15
_REPLICA_SECONDS = 1
_ROWS_MARGIN_SECONDS = 60
_PROGRESS_SECONDS = 5
_EXPERIMENTS_SECONDS = 10
_RETRY_SECONDS = 5
"""How long an event that could not be read is left alone, so that waiting for it does not delay the others."""
_COMPUTE_SHARE = 0.25
"""Joining and judging may take this share of the time; in a large shop they run less often than the counting."""


@dataclass
class Refresher:
    """Everything the exporter knows of one shop, and how it gets to know more.

    Attributes:
        rollout: the newest rollout of the journal; None when there is none.
        journal_fault: the journal could not be read.
        since: rows are counted from here, seconds since the epoch.
        snapshot: the newest knowledge.
    """

    policy: Policy
    session: Session
    clock: Clock
    counters: Counters
    since: float
    rollout: Rollout | None = None
    journal_fault: bool = False
    snapshot: Snapshot = field(init=False)
    errors: dict[str, int] = field(default_factory=dict)
    feeds: list[Feed] = field(init=False)

    def __post_init__(self) -> None:
        """Begin knowing nothing."""
        policy, dialect = self.policy, self.session.dialect
        self._log = Log("exporter")
        zone = Zone(policy.database.timezone, dialect)
        self.versions, self.currencies = Codes(), Codes()
        self.feeds = [
            Feed(stream, self.session, zone, self.versions, self.currencies, self.since)
            for stream in streams_of(policy, dialect)
        ]
        self.schema = SchemaWatch(policy, self.session)
        self.reconciler = Reconciler(self.feeds, policy.database.reconcile, self.clock)
        self.snapshot = Snapshot(policy.service)
        self._judged = {event for kpi in policy.kpis.values() for event in events_of(kpi)}
        self._judgement: Judgement | None = None
        self._evidence: RolloutEvidence | None = None
        self._roles: dict[str, dict[str, float]] = {}
        self.experiments = Experiments(policy)
        self._arms: tuple[Arm, ...] = ()
        self._arms_at = float("-inf")
        self._kpis: list[KpiValue] | None = None
        self._lag: float | None = None
        self._schema_at = self._replica_at = self._progress_at = self._computed_until = float("-inf")
        self._refreshed_at: float | None = None

    async def refresh(self) -> None:
        """Read what is new, and take a new snapshot of it.

        Raises:
            DatabaseUnavailableError: nothing could be read; the snapshot says so.
        """
        try:
            await self._read()
        except DatabaseUnavailableError as error:
            self._count(error)
            self._kpis = None
            await self._judge_blind()
            self.snapshot = self._snapshot(up=False)
            raise
        await self._compute()
        self.snapshot = self._snapshot(up=True)

    @property
    def complete(self) -> bool:
        """Whether the past is counted and every single row that is wanted is there."""
        return all(feed.filled and (feed.rows_ready or feed.rows_from is None) for feed in self.feeds)

    async def _read(self) -> None:
        now = self.clock.now().timestamp()
        await self._look_around(now)
        low = self._rows_low(now)
        if self.experiments.since is not None:
            low = min(low, self._bucket(self.experiments.since))
        for feed in self.feeds:
            if feed.stream.event in self._judged:
                feed.want_rows_from(low)
            await self._attempt(feed, now)
        await self._fill(now)
        for event, rows in (await self._reconcile(now)).items():
            self._log.warn("the ledger differed from the table and was mended", event=event, rows=rows)
        self._refreshed_at = now

    async def _look_around(self, now: float) -> None:
        """The schema and the replica's lag, now and then."""
        if now - self._schema_at >= _SCHEMA_SECONDS:
            self._schema_at = now
            before = self.schema.problems
            with self._survivable("the schema cannot be looked at"):
                await self.schema.look()
            if self.schema.problems != before:
                self._log.warn("schema changed", problems="; ".join(self.schema.problems) or "none any more")
        if self.policy.database.replica is not None and now - self._replica_at >= _REPLICA_SECONDS:
            self._replica_at = now
            self._lag, known = math.inf, self._lag
            with self._survivable("the replica's lag cannot be measured", told=known == math.inf):
                self._lag = await replica_lag_seconds(self.session)

    @contextmanager
    def _survivable(self, what: str, *, told: bool = False) -> Iterator[None]:
        """Count a database error and go on, unless the database is gone altogether."""
        try:
            yield
        except DatabaseUnavailableError:
            raise
        except DatabaseError as error:
            self._count(error)
            if not told:
                self._log.error(what, exception=error)

    def _rows_low(self, now: float) -> int:
        low = now - self.policy.database.window
        if self.rollout is not None and watched(self.rollout, self.policy, now):
            low = min(low, self.rollout.started_at.timestamp())
        return self._bucket(low)

    def _bucket(self, moment: float) -> int:
        return int(self.feeds[0].zone.stored(moment - _ROWS_MARGIN_SECONDS)) // FINE_SECONDS

    async def _attempt(self, feed: Feed, now: float) -> None:
        """Refresh one feed; what is wrong with one must not keep the others from being fresh."""
        if now < feed.retry_at:
            return
        lag = self._lag if self._lag is not None and self._lag < 3600 else 0.0
        try:
            await feed.refresh(now, lag)
        except DatabaseUnavailableError:
            raise
        except DatabaseError as error:
            self._count(error)
            if feed.fault is None:
                self._log.error("an event cannot be read", event=feed.stream.name, exception=error)
            if isinstance(error, DatabaseSchemaError):
                self._schema_at = float("-inf")
            feed.fault = error
            feed.retry_at = now + _RETRY_SECONDS
        else:
            if feed.fault is not None:
                self._log.info("an event can be read again", event=feed.stream.name)
            feed.fault = None

    async def _fill(self, now: float) -> None:
        """A step of the backfill for every feed, as many as fit between two refreshes."""
        until = self.clock.monotonic() + self.policy.database.refresh / 2
        waiting = [feed for feed in self.feeds if not feed.filled and feed.fault is None]
        while waiting:
            feed = min(waiting, key=lambda one: one.filled_ratio)
            try:
                await feed.fill(now)
            except DatabaseUnavailableError:
                raise
            except DatabaseError as error:
                self._count(error)
                waiting.remove(feed)
                continue
            waiting = [feed for feed in waiting if not feed.filled]
            if self.clock.monotonic() >= until:
                break
        if now - self._progress_at >= _PROGRESS_SECONDS and (waiting or self._progress_at == float("-inf")):
            self._progress_at = now
            self._log.info("counting the past", done=f"{self._filled_ratio():.0%}")

    async def _reconcile(self, now: float) -> Mapping[str, int]:
        with self._survivable("the ledger cannot be compared"):
            return await self.reconciler.work(now)
        return {}

    async def _compute(self) -> None:
        """Join, count the window and judge, in a thread, at most for a share of the time."""
        now = self.clock.now().timestamp()
        self._count_totals()
        if now < self._computed_until or not self._rows_there():
            return
        began = time.perf_counter()
        tables = dict(self._tables())
        await asyncio.to_thread(self._work_out, tables, now)
        took = time.perf_counter() - began
        refresh = self.policy.database.refresh
        self._computed_until = now + (took / _COMPUTE_SHARE if took > refresh * _COMPUTE_SHARE else 0.0)

    def _rows_there(self) -> bool:
        wanted = [feed for feed in self.feeds if feed.rows_from is not None and feed.fault is None]
        return bool(wanted) and all(feed.rows_ready for feed in wanted)

    def _tables(self) -> Iterator[tuple[str, Table]]:
        """One table per event that can be read; an event whose feed is at fault has none."""
        by_event: dict[str, list[Feed]] = {}
        for feed in self.feeds:
            if feed.rows_from is not None:
                by_event.setdefault(feed.stream.event, []).append(feed)
        for event, feeds in by_event.items():
            if any(feed.fault is not None for feed in feeds):
                continue
            tables = {feed.stream.kind: feed.store.table() for feed in feeds}
            if "rows" in tables:
                yield event, tables["rows"]
                continue
            empty = Table.empty(len(feeds[0].stream.parents))
            yield event, merged(*(tables.get(kind, empty) for kind in ("settled", "unsettled", "pending")))

    def _work_out(self, tables: Mapping[str, Table], now: float) -> None:
        policy = self.policy
        as_of = min((feed.refreshed_at or now for feed in self.feeds if feed.rows_from is not None), default=now)
        if self.experiments.since is not None:
            if now - self._arms_at >= _EXPERIMENTS_SECONDS:
                self._arms = self.experiments.look(tables, self.versions, as_of, self._blind_kpis(now))
                self._arms_at = now
            # Days of an experiment's rows must not slow down what protects customers.
            low = self._rows_low(now)
            tables = {name: table.where(table.bucket >= low) for name, table in tables.items()}
        orders = Orders(policy.database.events, tables)
        window = policy.database.window
        self._kpis = list(
            kpi_values(
                policy.kpis, orders, self.versions.texts, self.currencies.texts,
                since=now - window, until=now + policy.database.lateness,
            )
        )  # fmt: skip
        rollout = self.rollout
        if rollout is None or not watched(rollout, policy, now):
            self._judgement = self._evidence = None
            self._roles = {}
            return
        if self._judgement is None or self._judgement.rollout != rollout.id:
            self._judgement = Judgement.of(policy, rollout)
        self._evidence = self._judgement.look(orders, self.versions, rollout, as_of, self._blind_kpis(now))
        self._roles = role_values(policy.kpis, orders, self.versions, rollout, self._judgement.currencies)

    async def _judge_blind(self) -> None:
        """Without new rows the evidence stays as it is, but once it is too old nobody may rely on it."""
        now = self.clock.now().timestamp()
        blind = self._blind_kpis(now)
        judgement, rollout = self._judgement, self.rollout
        if not blind or judgement is None or rollout is None or self._evidence is None:
            return
        orders = Orders(self.policy.database.events, {})
        self._evidence = judgement.look(orders, self.versions, rollout, self._evidence.as_of, blind)
        self._roles = {}

    def _blind_kpis(self, now: float) -> dict[str, str]:
        """Each KPI that must not be relied on, with the reason."""
        found: dict[str, str] = {}
        staleness = self.policy.evidence.staleness
        oldest: dict[str, float] = {}
        for feed in self.feeds:
            at = feed.refreshed_at if feed.refreshed_at is not None else float("-inf")
            oldest[feed.stream.event] = min(at, oldest.get(feed.stream.event, now))
        replica = self.policy.database.replica
        behind = replica is not None and self._lag is not None and self._lag > replica.max_lag
        for name, kpi in self.policy.kpis.items():
            if behind:
                found[name] = "replica"
            elif any(now - oldest.get(event, float("-inf")) > staleness for event in events_of(kpi)):
                found[name] = "schema" if self.schema.problems else "database"
        return found

    def _blind(self, now: float) -> frozenset[str]:
        reasons = set(self._blind_kpis(now).values()) if self._refreshed_at is not None else {"starting"}
        if self.schema.problems:
            reasons.add("schema")
        if self.journal_fault:
            reasons.add("journal")
        if not self._rows_there() and "database" not in reasons and self._kpis is None:
            reasons.add("starting")
        return frozenset(reasons)

    def _count(self, error: DatabaseError) -> None:
        self.errors[error.label] = self.errors.get(error.label, 0) + 1

    def _count_totals(self) -> None:
        kept = self._kept_versions()
        running = () if self.rollout is None else (self.rollout.stable, self.rollout.canary)
        events = self.policy.database.events
        totals: dict[str, dict[Key, Tally]] = {}
        unfinished = {feed.stream.event for feed in self.feeds if feed.stream.counted and not feed.filled}
        for feed in self.feeds:
            if feed.stream.counted:
                together = totals.setdefault(feed.stream.event, {})
                for key, tally in feed.ledger.totals.items():
                    held = together.get(key, Tally(0, 0))
                    together[key] = Tally(held.rows + tally.rows, held.millionths + tally.millionths)
        for event, found in totals.items():
            if event not in unfinished:
                self.counters.follow(event, events[event], found, kept)
                self.counters.start(event, events[event], running)

    def _kept_versions(self) -> set[str]:
        """The running rollout's versions and the most recently seen ones."""
        seen: dict[str, int] = {}
        for feed in self.feeds:
            for key in feed.ledger.totals:
                seen.setdefault(key.version, 0)
        kept = set() if self.rollout is None else {self.rollout.stable, self.rollout.canary}
        if len(seen) <= MAX_VERSIONS:
            return kept | seen.keys()
        for feed in self.feeds:
            for version, hour in feed.ledger.last_seen().items():
                seen[version] = max(seen.get(version, 0), hour)
        return kept | set(sorted(seen, key=lambda version: (-seen[version], version))[:MAX_VERSIONS])

    def _filled_ratio(self) -> float:
        return sum(feed.filled_ratio for feed in self.feeds) / len(self.feeds)

    def _snapshot(self, *, up: bool) -> Snapshot:
        now = self.clock.now().timestamp()
        newest = [feed.ledger.newest for feed in self.feeds if feed.ledger.newest is not None]
        zone = self.feeds[0].zone
        lag = now - zone.moment((max(newest) + 1) * FINE_SECONDS) if newest else None
        kept = self._kept_versions()
        return Snapshot(
            service=self.policy.service,
            counters={series: in_units(series, amount) for series, amount in self.counters.values.items()},
            kpis=[kpi for kpi in self._kpis if kpi.version in kept] if self._kpis is not None and up else None,
            evidence=self._evidence,
            role_values=self._roles if up else {},
            experiments=self._arms if up else (),
            tolerances={name: kpi.tolerance for name, kpi in self.policy.kpis.items()},
            blind=self._blind(now),
            database_up=up,
            refreshed_at=self._refreshed_at,
            data_lag_seconds=max(0.0, lag) if lag is not None else None,
            replica_lag_seconds=self._lag,
            backfill_ratio=self._filled_ratio(),
            schema_compatible=self.schema.compatible,
            errors=dict(self.errors),
            corrections=dict(self.counters.corrections),
            reconciled=dict(self.reconciler.mended),
        )


def watched(rollout: Rollout, policy: Policy, now: float) -> bool:
    """Whether a rollout is judged: while it runs, and after promotion for as long as the floors stay watched."""
    if rollout.running:
        return True
    ended = rollout.ended_at
    return rollout.state is State.PROMOTED and ended is not None and now - ended.timestamp() < policy.rollback.watch

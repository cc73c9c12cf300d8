"""Keeps the exporter's knowledge fresh: reads the database in the background, makes a snapshot after each refresh.

A refresh goes down the folders in order: schema and replica (`source`), each stream's newest rows and a step of the
past (`ledger`), a look at KPIs and evidence (`judge`), a snapshot of all of it (`publish`). Each event is read on its
own, and one that fails is left alone for a while, so that a missing table costs the KPIs that need it and no others.

The snapshot is made anew each time and replaced in one step. So a scrape, in whatever thread, never sees half a
refresh, and what is not known any more is not in it.
"""

# long: one refresh from the first question to the snapshot, whose steps share what is known

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from canary.errors import DatabaseSchemaError, DatabaseSourceError, DatabaseTimeoutError, DatabaseUnavailableError
from canary.logs import Log
from canary.policy.kpis import events_of
from canary.policy.model import Policy
from canary.rollout.state import Rollout
from canary.routers import routers_of
from canary.threads import Threads
from canary.timing.clock import Clock
from canary.units import format_ratio
from exporter.faults import Attempt, Faults
from exporter.judge.blindness import blind_kpis, clock_kpis
from exporter.judge.exactfile import ExactFiles
from exporter.judge.experiments import JudgedExperiments
from exporter.judge.parameters import entry_event
from exporter.judge.schedule import ScheduledJudge, watched
from exporter.ledger.feed import Feed
from exporter.ledger.lookups import MOST_ROWS, Lookups
from exporter.ledger.reconciler import LedgerReconciler
from exporter.ledger.rows import Codes
from exporter.ledger.sampling import Sampling
from exporter.ledger.unknown import UnknownVersions
from exporter.publish.counters import Counters
from exporter.publish.snapshot import Snapshot
from exporter.source.assignments.agreement import SideAgreement
from exporter.source.assignments.logged import LoggedVersions
from exporter.source.assignments.routed import RoutedVersions, TaggedVersions, UnitVersions
from exporter.source.assignments.versions import Key
from exporter.source.consistency.primarywatch import PrimaryWatch
from exporter.source.consistency.watch import ConsistencyWatch
from exporter.source.database import Session
from exporter.source.mapping import with_ancestors
from exporter.source.sources import Sources, policy_at
from exporter.source.streams import Stream
from exporter.source.watch.replica import replica_lag_seconds
from exporter.source.watch.schema import SchemaWatch, SchemaWatches

_SCHEMA_SECONDS = 15
"""How often the schema is looked at: inspecting costs a few statements per table, and a migration that breaks a version
breaks its first query anyway, which has the schema looked at at once."""
_REPLICA_SECONDS = 1
"""How often the replica's lag is asked for: each refresh, at the default `database.refresh`."""
_LONGEST_LAG_SECONDS = 3600
"""A replica that is further behind is broken; reading back so far at every refresh would not help it."""
_ROWS_MARGIN_SECONDS = 60
"""Rows are held from a little before the window, so that its edge never meets a bucket that is half there."""
_KEPT_SECONDS = 6 * 3600
"""Rows of a long rollout are forgotten after this, once they were judged: by then nearly all that descends from a visit
has come, and a rollout of days would otherwise fill the memory."""
_PROGRESS_SECONDS = 5
"""How often the log says how much of the past is counted."""
_FILL_SHARE = 0.9
"""Part of the time between two refreshes that may go into counting the past; the rest is for scrapes."""
_RETRY_SECONDS = 5
"""How long an event, a table that is looked up in, and with them a source that is away, is left alone after it could
not be read. An attempt may take as long as connecting may, for which everybody waits; so the pause begins with the
attempt's end, and nothing else is asked of such a source in it."""
_HERE: tuple[float, DatabaseSourceError | None] = -math.inf, None
"""Of a source that is not away."""


@dataclass
class Refresher:
    """Everything the exporter knows of one shop, and how it gets to know more.

    Attributes:
        threads: where joining and judging run.
        files: where what the judgement's exact half has seen and spent survives a restart.
        rollout: the newest rollout of the journal; None when there is none.
        routed: tells versions by the router's hash, or by its tag; None where nobody asks. Told of every rollout.
        logged: tells versions by the router's log; None where nobody asks for that.
        agreement: holds what rows record against the router's hash; None where there is nothing to hold.
        lookups: the assignments and pairs that are in another database than the events they serve.
        consistency: holds the rows of the rollout's versions against each other; None where nobody asks.
        primary: holds the replica against its primary; None where the policy names none.
        journal_fault: the journal could not be read.
        clock_ahead_seconds: how far the database's clock is ahead of ours, as far as that is certain.
        since: rows are counted from here, seconds since the epoch.
        snapshot: the newest knowledge.
    """

    policy: Policy
    sources: Sources
    clock: Clock
    counters: Counters
    since: float
    threads: Threads
    files: ExactFiles | None = None
    rollout: Rollout | None = None
    consistency: ConsistencyWatch | None = None
    primary: PrimaryWatch | None = None
    journal_fault: bool = False
    clock_ahead_seconds: float = 0.0
    snapshot: Snapshot = field(init=False)
    feeds: list[Feed] = field(init=False)
    _away: dict[str | None, tuple[float, DatabaseSourceError]] = field(init=False, default_factory=dict)
    """By source, until when (monotonic: a clock set back must not prolong it) nothing is asked of it, and why."""

    def __post_init__(self) -> None:
        """Begin knowing nothing."""
        policy, sources = self.policy, self.sources
        self._log = Log("exporter")
        self._faults = Faults(self._log)
        self.versions, self.currencies = Codes(), Codes()
        streams = sources.streams(policy)
        self.agreement = SideAgreement.of(policy, entry_event(policy))
        self.feeds = self._feeds(streams)
        watches = {name: SchemaWatch(policy_at(policy, name), session) for name, session in sources.sessions.items()}
        self.schema = SchemaWatches(watches)
        self.reconciler = LedgerReconciler(self.feeds, policy.database.reconcile, self.clock)
        self.snapshot = Snapshot(policy.service, counters=self.counters.in_units())
        about = (event for kpi in policy.kpis.values() for event in events_of(kpi))
        self._joined = with_ancestors(policy.database.events, about)
        self.experiments = JudgedExperiments(policy)
        self.judge = ScheduledJudge(
            policy,
            self.feeds,
            self.versions,
            self.currencies,
            self.experiments,
            self.clock,
            self.threads,
            self._faults,
            self.files,
        )
        self.sampling = Sampling(self.feeds, policy.evidence.sample_above, self._log)
        self._lag: float | None = None
        self._unknown_versions = UnknownVersions(self.feeds, policy.database.window, policy.database.lateness)
        self._schema_at = self._replica_at = self._progress_at = float("-inf")
        self._refreshed_at: float | None = None
        self._refreshed_monotonic: float | None = None

    def _feeds(self, streams: Sequence[tuple[Stream, Session]]) -> list[Feed]:
        told, entry = self._tellers([stream for stream, _ in streams]), entry_event(self.policy)
        shared = (self.versions, self.currencies, self.since, self.lookups.pairs)
        zones, feeds = self.sources.zones(self.policy), []
        for stream, session in streams:
            agreement = self.agreement if stream.event == entry else None
            teller = told.get(stream.key)
            feeds.append(Feed(stream, session, zones[stream.source], *shared, routed=teller, agreement=agreement))
            feeds[-1].odd.report = self._faults.odd
        return feeds

    def _tellers(self, streams: list[Stream]) -> dict[Key | None, UnitVersions | None]:
        """What tells the versions of customers, and of tags, where any stream asks for that."""
        given = self.policy.database.assignments
        source = given.from_ if given is not None else None
        router = routers_of(self.policy)[0] if source == "router" else None
        tagged = any(stream.key == "tag" for stream in streams)
        self.routed = routed = RoutedVersions(router) if router is not None or tagged else None
        self.logged = LoggedVersions.of(self.policy) if source == "log" else None
        self.lookups = Lookups.of(self.policy, self.sources, streams, self._faults.odd)
        return {
            "unit": self.lookups.versions or self.logged or routed,
            "tag": None if routed is None else TaggedVersions(routed),
        }

    async def refresh(self) -> None:
        """Read what is new, and take a new snapshot of it.

        Raises:
            DatabaseUnavailableError: nothing could be read; the snapshot says so.
        """
        try:
            await self._read()
        except DatabaseUnavailableError as error:
            self._faults.count(error)
            self._nothing_read()
            raise
        if all(feed.fault is not None for feed in self.feeds):
            self._nothing_read()
            return
        now = self.clock.now().timestamp()
        if self.consistency is not None:
            self.consistency.follow(self.rollout)
        if self.primary is not None:
            self.primary.follow(self.rollout)
        self.judge.sides_apart_ratio = self.agreement.apart_ratio if self.agreement is not None else None
        with self._faults.survived("what was read cannot be judged") as attempt:
            await self.judge.look(now, self.rollout, self._blind_kpis(now), self._rows_low(now))
        self._judged_or_not(attempt)
        self.snapshot = self._snapshot(up=True)

    async def close(self) -> None:
        """Let go of what this has opened itself; the session is its maker's."""
        if self.logged is not None:
            await self.logged.close()

    def failed(self, error: Exception) -> None:
        """A refresh ended in a way that nobody foresaw: only the counters are still known."""
        self._faults.count(error)
        self.snapshot = Snapshot(
            self.policy.service,
            counters=self.counters.in_units(),
            blind=frozenset({"database"}),
            database_up=False,
            errors=dict(self._faults.counts),
        )

    def _nothing_read(self) -> None:
        with self._faults.survived("the evidence cannot be looked at") as attempt:
            self.judge.without_database(self.rollout, self._blind_kpis(self.clock.now().timestamp()))
        self._judged_or_not(attempt)
        self.snapshot = self._snapshot(up=False)

    def _judged_or_not(self, attempt: Attempt) -> None:
        """What could not be judged is unknown, and not what it was before."""
        if attempt.error is not None:
            self.judge.forget()

    @property
    def complete(self) -> bool:
        """Whether the past is counted and every single row that is wanted is there, of what can be read."""
        return all(
            feed.fault is not None
            or feed.fill_fault is not None
            or (feed.filled and (feed.rows_ready or not feed.rows_wanted))
            for feed in self.feeds
        )

    async def _read(self) -> None:
        # What is read is as old as the moment before the first question, not as the last answer.
        now, began = self.clock.now().timestamp(), self.clock.monotonic()
        if self.logged is not None:
            with self._faults.survived("what the follower of the router's log keeps cannot be read"):
                await self.logged.look()
        await self._look_up(now)
        await self._look_around()
        self._leave_out_absent()
        low = self._rows_low(now)
        if self.experiments.since is not None:
            low = min(low, self.experiments.since - _ROWS_MARGIN_SECONDS)
        for feed in self.feeds:
            if feed.stream.event in self._joined:
                feed.held.want_from(feed.bucket(low))
        judged = self.judge.evidence is not None or self.experiments.since is not None
        self.sampling.look(now, judged=judged)
        if self.agreement is not None:
            self.agreement.know(self.rollout)
        await self._side_by_side(self._refresh_all, now)
        until = self.clock.monotonic() + self.policy.database.refresh * _FILL_SHARE
        await self._side_by_side(self._fill, now, until)
        self._tell_progress()
        for event, rows in (await self._reconcile(now)).items():
            self._log.warn("the ledger differed from the table and was repaired", event=event, rows=rows)
        self._refreshed_at, self._refreshed_monotonic = now, began
        running = self.rollout if self.rollout is not None and self.rollout.running else None
        self._unknown_versions.look(now, running.started_at.timestamp() if running is not None else None)

    async def _look_up(self, now: float) -> None:
        """Read what is new of what is looked up in memory; the events of what cannot be read count as unread too."""
        for table in self.lookups.all:
            away = self._away_now(table.source)
            if away is not None:
                table.unread(away)
            if away is not None or self.clock.monotonic() < table.retry_at:
                continue
            forgotten = table.forgotten
            with self._faults.survived("what rows are looked up in cannot be read", table=table.place) as attempt:
                await table.look(now)
            if attempt.error is not None:
                table.retry_at = self._retry_at(table.source, attempt.error)
            if table.forgotten and not forgotten:
                self._log.warn(
                    "of what rows are looked up in, the oldest is forgotten", table=table.place, rows=MOST_ROWS
                )

    async def _side_by_side(self, work: Callable[..., Awaitable[None]], *times: float) -> None:
        """Do one thing with the feeds of each source, which have a session of their own, at the same time."""
        feeds = [[feed for feed in self.feeds if feed.stream.source == name] for name in self.sources.sessions]
        await asyncio.gather(*(work(some, *times) for some in feeds))

    async def _refresh_all(self, feeds: Sequence[Feed], now: float) -> None:
        for feed in feeds:
            await self._attempt(feed, now)

    def _leave_out_absent(self) -> None:
        """Read nothing of tables that are not there and that nobody needs; all who share the list see it change."""
        events = self.policy.database.events
        absent = [feed for feed in self.feeds if events[feed.stream.event].table in self.schema.absent]
        if len(absent) < len(self.feeds):  # a shop without any of its tables is a mistake
            for feed in absent:
                self.feeds.remove(feed)

    async def _look_around(self) -> None:
        """The schema and the replica's lag, now and then."""
        began = self.clock.monotonic()
        if began - self._schema_at >= _SCHEMA_SECONDS:
            self._schema_at = began
            before = self.schema.problems
            with self._faults.survived("the schema cannot be looked at"):
                await self.schema.look({source for source in self._away if self._away_now(source) is not None})
            if self.schema.problems != before:
                self._log.warn("schema changed", problems="; ".join(self.schema.problems) or "none any more")
        main = self.sources.sessions.get(None)
        due = began - self._replica_at >= _REPLICA_SECONDS
        if main is not None and self.policy.database.replica is not None and due:
            self._replica_at = began
            self._lag = math.inf
            with self._faults.survived("the replica's lag cannot be measured"):
                self._lag = await replica_lag_seconds(main)

    def _rows_low(self, now: float) -> float:
        """The moment from which on rollout and window need single rows."""
        low = now - self.policy.database.window
        if self.rollout is not None and watched(self.rollout, self.policy, now):
            started = self.rollout.started_at.timestamp()
            # What was judged has become sums; a while is kept because orders may come long after their visits.
            # What was before the start is needed once: it says how late orders usually come.
            before = started - self.policy.database.window
            low = min(low, max(started, now - _KEPT_SECONDS) if self.judge.has_judged(self.rollout) else before)
        return low - _ROWS_MARGIN_SECONDS

    async def _attempt(self, feed: Feed, now: float) -> None:
        """Refresh one feed; what is wrong with one must not keep the others from being fresh."""
        away = self._away_now(feed.stream.source)
        if away is not None:
            feed.fault = away
        if away is not None or self.clock.monotonic() < feed.retry_at:
            return
        lag = self._lag if self._lag is not None and self._lag < _LONGEST_LAG_SECONDS else 0.0
        with self._faults.survived("an event cannot be read", event=feed.stream.name) as attempt:
            await feed.refresh(now, lag)
        feed.fault = attempt.error
        if feed.fault is not None:
            feed.retry_at = self._retry_at(feed.stream.source, feed.fault)
        if isinstance(feed.fault, DatabaseSchemaError):
            self._schema_at = float("-inf")

    def _away_now(self, source: str | None) -> DatabaseSourceError | None:
        """Why nothing is asked of a source for now."""
        until, away = self._away.get(source, _HERE)
        return away if self.clock.monotonic() < until else None

    def _retry_at(self, source: str | None, error: Exception) -> float:
        """When to try again after a fault; where the source itself is away, nothing of it is tried before."""
        until = self.clock.monotonic() + _RETRY_SECONDS
        # A table that is looked up in names itself, and is none of its readers' sources.
        if isinstance(error, DatabaseSourceError) and error.place not in {table.place for table in self.lookups.all}:
            self._away[source] = until, error
        return until

    async def _fill(self, feeds: Sequence[Feed], now: float, until: float) -> None:
        """A step of the backfill for every feed, as many as fit between two refreshes."""
        began = self.clock.monotonic()
        waiting = [feed for feed in feeds if not feed.filled and feed.fault is None and began >= feed.fill_at]
        while waiting:
            feed = min(waiting, key=lambda one: one.filled_ratio)
            with self._faults.survived("an event's past cannot be counted", event=feed.stream.name) as attempt:
                await feed.fill(now)
            # After a timeout the next step is smaller, and need not wait.
            feed.fill_fault = None if isinstance(attempt.error, DatabaseTimeoutError) else attempt.error
            if feed.fill_fault is not None:
                feed.fill_at = self.clock.monotonic() + _RETRY_SECONDS
            waiting = [one for one in waiting if not one.filled and (one is not feed or attempt.error is None)]
            if self.clock.monotonic() >= until:
                break

    def _tell_progress(self) -> None:
        waiting = any(not feed.filled and feed.fault is None for feed in self.feeds)
        began = self.clock.monotonic()
        if began - self._progress_at >= _PROGRESS_SECONDS and (waiting or self._progress_at == float("-inf")):
            self._progress_at = began
            self._log.info("counting the past", done=format_ratio(self._filled_ratio()))

    async def _reconcile(self, now: float) -> Mapping[str, int]:
        with self._faults.survived("the ledger cannot be compared with the table"):
            return await self.reconciler.work(now)
        return {}

    def _blind_kpis(self, now: float) -> dict[str, str]:
        found = blind_kpis(self.policy, self.feeds, now, self._lag, schema_broken=bool(self.schema.problems))
        return clock_kpis(self.policy, self.clock_ahead_seconds) | found

    def _blind(self, now: float) -> frozenset[str]:
        reasons = set(self._blind_kpis(now).values()) if self._refreshed_at is not None else {"starting"}
        reasons.update(self.judge.unjoined.values())
        if self.schema.problems:
            reasons.add("schema")
        if self.journal_fault:
            reasons.add("journal")
        if self.judge.broken:
            reasons.add("judge")
        if not self.judge.ready and self.judge.kpis is None and "database" not in reasons:
            reasons.add("starting")
        return frozenset(reasons)

    def _filled_ratio(self) -> float:
        return sum(feed.filled_ratio for feed in self.feeds) / len(self.feeds)

    def _snapshot(self, *, up: bool) -> Snapshot:
        now = self.clock.now().timestamp()
        newest = [feed.newest_at for feed in self.feeds if feed.newest_at is not None]
        lag = now - max(newest) if newest else None
        kept = self.counters.follow_ledgers(self.feeds, self.policy.database.events, self.rollout)
        judge = self.judge
        return Snapshot(
            service=self.policy.service,
            counters=self.counters.in_units(),
            kpis=[kpi for kpi in judge.kpis if kpi.version in kept] if judge.kpis is not None and up else None,
            rollout=judge.judged_rollout,
            evidence=judge.evidence,
            role_values=judge.roles if up else {},
            experiments=judge.arms if up else (),
            policy_kpis=self.policy.kpis,
            blind=self._blind(now),
            database_up=up,
            refreshed_at=self._refreshed_at,
            refreshed_monotonic=self._refreshed_monotonic,
            data_lag_seconds=max(0.0, lag) if lag is not None else None,
            replica_lag_seconds=self._lag,
            backfill_ratio=self._filled_ratio(),
            sample_ratio=self.sampling.ratio,
            schema_compatible=self.schema.compatible,
            errors=dict(self._faults.counts),
            unknown_versions=self._unknown_versions.shares if up else {},
            consistency_of=self.rollout.id if self.rollout is not None else "",
            consistency=(
                self.consistency.found(self.rollout.id)
                if up and self.consistency is not None and self.rollout is not None
                else ()
            ),
            replicated=(
                self.primary.found(self.rollout.id)
                if up and self.primary is not None and self.rollout is not None
                else ()
            ),
            corrections=dict(self.counters.corrections),
            reconciled=dict(self.reconciler.mended),
        )

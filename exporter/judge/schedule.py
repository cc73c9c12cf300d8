"""When and where the exporter judges: in a thread, no more often than can be afforded, each part on its own.

Counting must stay fresh whatever joins and judging cost. So they run in a thread, and a look that took long is followed
by a pause in proportion. A look has three parts, in the order of what is lost without them:

1. the running rollout, whose proven harm rolls it back;
2. the KPIs of the trailing window, which threshold rules and dashboards read;
3. the experiments, which last for days and need a look only now and then.

Each part fails alone: what it would have said is unknown, and the others go on. They were one piece of work at first,
and an error in an experiment nobody's release depends on left a running rollout without its judge.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from canary.policy.model import Policy
from canary.rollout.state import Rollout
from canary.threads import Threads
from canary.timing.clock import Clock
from exporter.evidence.judge import RolloutEvidence
from exporter.faults import Faults
from exporter.judge.blindness import unjoined_kpis
from exporter.judge.exactfile import ExactFiles
from exporter.judge.experiments import Arm, JudgedExperiments
from exporter.judge.joins import JoinedRows, merged
from exporter.judge.parameters import only_read
from exporter.judge.rollout import JudgedRollout
from exporter.judge.shop.calibration import trusted_kpis
from exporter.judge.shop.rhythm import Rhythm
from exporter.judge.values import KpiValue, role_values, window_values
from exporter.ledger.feed import Feed
from exporter.ledger.rows import Codes, EventRows

_EXPERIMENTS_SECONDS = 10
"""How often experiments are looked at: they last for days, and joining days of rows is what costs most."""
_ROLES_SECONDS = 10
"""How often the values that people read next to the evidence are counted where there are many rows: they join all of
the rollout's, which costs as much as judging the newest."""
_SHARE = 0.25
"""Joining and judging may take this share of the time; in a large shop they run less often than the counting."""

Blind = Mapping[str, str]
"""KPIs that must not be relied on, with the reason."""
Rows = Mapping[str, EventRows]
"""By event, the rows in memory."""


@dataclass
class ScheduledJudge:
    """Joins, counts the window and judges; its attributes are what the last look found.

    Attributes:
        faults: where what goes wrong in one part is counted and logged.
        files: where the exact half of the judgement survives a restart; None where it need not.
        kpis: of the window; None while they are not known.
        evidence: on the watched rollout; None when there is none.
        roles: by KPI, each role's plain value since the rollout began.
        arms: the experiments' treatments.
        unjoined: KPIs whose join never found anything, with the reason.
        sides_apart_ratio: the part of the canary's customers whose rows and the router's hash name two sides; None
            where not known. Told before each look.
        broken: the rollout could not be judged, or the window's KPIs could not be computed.
    """

    policy: Policy
    feeds: Sequence[Feed]
    versions: Codes
    currencies: Codes
    experiments: JudgedExperiments
    clock: Clock
    threads: Threads
    faults: Faults
    files: ExactFiles | None = None
    kpis: list[KpiValue] | None = None
    evidence: RolloutEvidence | None = None
    roles: dict[str, dict[str, float]] = field(default_factory=dict)
    arms: tuple[Arm, ...] = ()
    sides_apart_ratio: float | None = None
    broken: bool = False
    unjoined: dict[str, str] = field(default_factory=dict)
    _known_joins: set[tuple[str, str]] = field(default_factory=set)
    _judged: JudgedRollout | None = None
    _experiments_at: float = float("-inf")
    _roles_at: float = float("-inf")
    _not_before: float = float("-inf")

    @property
    def ready(self) -> bool:
        """Whether every single row that is wanted is there, of the events that can be read."""
        wanted = [feed for feed in self.feeds if feed.rows_wanted and feed.fault is None]
        return bool(wanted) and all(feed.rows_ready for feed in wanted)

    @property
    def judged_rollout(self) -> str:
        """The id of the rollout that evidence and roles are about; empty when there is no evidence."""
        return self._judged.rollout if self._judged is not None and self.evidence is not None else ""

    def has_judged(self, rollout: Rollout) -> bool:
        """Whether the rollout's rows were looked at from its beginning."""
        return self.judged_rollout == rollout.id

    async def look(self, now: float, rollout: Rollout | None, blind: Blind, rows_from: float) -> None:
        """Look at the rows again, unless the last look took so long that the next one is not due.

        Args:
            now: seconds since the epoch.
            rollout: the newest one; None when there is none.
            blind: KPIs that must not be relied on, with the reason.
            rows_from: the moment from which on rollout and window need rows; experiments may hold older ones.
        """
        if now < self._not_before or not self.ready:
            self._tell_blind(rollout, blind)  # an hour's rows may take a while, and nobody may rely on them meanwhile
            return
        began = self.clock.monotonic()
        rows = dict(self._rows())
        await self.threads.run(lambda: self._look(rows, now, rollout, blind, rows_from))
        took = self.clock.monotonic() - began
        self._not_before = now + (took / _SHARE if took > self.policy.database.refresh * _SHARE else 0.0)

    def without_database(self, rollout: Rollout | None, blind: Blind) -> None:
        """Without new rows the evidence stays as it is, but once it is too old nobody may rely on it."""
        self.kpis = None
        if self._tell_blind(rollout, blind):
            self.roles = {}

    def _tell_blind(self, rollout: Rollout | None, blind: Blind) -> bool:
        """Say of the evidence, without a row more, which KPIs must not be relied on; gives whether any."""
        if not blind or self._judged is None or rollout is None or self.evidence is None:
            return False
        if self._judged.rollout != rollout.id:
            # Another rollout has begun while nothing could be read: what was known of the last says nothing about it.
            self._forget_rollout()
            return False
        self.evidence = self.evidence.blinded(blind)
        return True

    def forget(self) -> None:
        """Nothing is known any more; the next look judges all rows anew."""
        self.kpis = None
        self.broken = True
        self._forget_rollout()
        self._forget_experiments()

    def _forget_rollout(self) -> None:
        self._judged = self.evidence = None
        self.roles = {}

    def _forget_experiments(self) -> None:
        self.experiments.forget()
        self.arms = ()

    def _rows(self) -> Iterator[tuple[str, EventRows]]:
        """The rows of each event that can be read; an event with a feed at fault has none, rather than some."""
        by_event: dict[str, list[Feed]] = {}
        for feed in self.feeds:
            if feed.rows_wanted:
                by_event.setdefault(feed.stream.event, []).append(feed)
        for event, feeds in by_event.items():
            if any(feed.fault is not None for feed in feeds):
                continue
            kinds = {feed.stream.kind: feed.rows() for feed in feeds}
            if "rows" in kinds:
                yield event, kinds["rows"]
                continue
            empty = EventRows.empty(len(feeds[0].stream.parents))
            yield event, merged(*(kinds.get(kind, empty) for kind in ("settled", "unsettled", "pending")))

    def _look(self, rows: Rows, now: float, rollout: Rollout | None, blind: Blind, rows_from: float) -> None:
        healthy = (feed for feed in self.feeds if feed.rows_wanted and feed.fault is None)
        as_of = min((feed.refreshed_at or now for feed in healthy), default=now)
        everything = rows
        if self.experiments.since is not None:
            # Days of an experiment's rows must not slow down what protects customers.
            rows = {event: held.where(held.time >= rows_from) for event, held in rows.items()}
        joined = JoinedRows(self.policy.database.events, rows, self._known_joins)
        self.unjoined = unjoined_kpis(self.policy.kpis, joined)
        blind = self.unjoined | dict(blind)
        with self.faults.survived("the rollout cannot be judged") as judging:
            self._judge_rollout(joined, now, rollout, as_of, blind)
        if judging.error is not None:
            self._forget_rollout()
        with self.faults.survived("the window's KPIs cannot be computed") as counting:
            self._count_window(joined, now)
        if counting.error is not None:
            self.kpis = None
        self.broken = judging.error is not None or counting.error is not None
        if self.experiments.since is None or now - self._experiments_at < _EXPERIMENTS_SECONDS:
            return
        self._experiments_at = now
        with self.faults.survived("the experiments cannot be judged") as comparing:
            self.experiments.rollout, self.experiments.read = rollout, self._read()
            self.arms = self.experiments.look(everything, self.versions, as_of, blind)
        if comparing.error is not None:
            self._forget_experiments()

    def _judge_rollout(
        self, joined: JoinedRows, now: float, rollout: Rollout | None, as_of: float, blind: Blind
    ) -> None:
        if rollout is None or not watched(rollout, self.policy, now):
            self._forget_rollout()
            return
        if self._judged is None or self._judged.rollout != rollout.id:
            policy = only_read(self.policy, self._read())
            trusted = trusted_kpis(self.policy)  # what was calibrated since the last rollout counts for this one
            self._judged = JudgedRollout.of(
                policy, rollout, files=self.files, trusted=trusted, rhythm=Rhythm.of(policy.kpis, self.feeds)
            )
            self.roles = {}
        self._judged.judge.know_sides(self.sides_apart_ratio)
        self.evidence = self._judged.look(joined, self.versions, rollout, as_of, blind)
        if not self.roles or not joined.many or now - self._roles_at >= _ROLES_SECONDS:
            self._roles_at = now
            self.roles = role_values(self.policy.kpis, joined, self.versions, rollout, self._judged.currencies)

    def _read(self) -> frozenset[str]:
        """The events whose tables are there."""
        return frozenset(feed.stream.event for feed in self.feeds)

    def _count_window(self, joined: JoinedRows, now: float) -> None:
        database = self.policy.database
        since, until = now - database.window, now + database.lateness
        texts = (self.versions.texts, self.currencies.texts)
        values = window_values(
            self.policy.kpis, joined, *texts, since=since, until=until, max_currencies=database.max_currencies
        )
        self.kpis = list(values)


def watched(rollout: Rollout, policy: Policy, now: float) -> bool:
    """Whether a rollout is judged: while it runs, and from its promotion on as long as floors stay watched."""
    if rollout.running:
        return True
    promoted = rollout.promoted
    return promoted is not None and now - promoted.at.timestamp() < policy.rollback.watch

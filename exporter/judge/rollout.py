"""One rollout judged: from the policy to the judge's parameters, from joined rows to its arrays, from both to evidence.

The judge (`exporter.evidence`) knows no shop: it is given arrays of units with their side. Those units are customers
(`exporter.judge.units`), each on the side and under the weight of the first entry since the start, because that is what
the router decided. Means compare one currency only, the one that most rows had before the rollout; amounts of different
currencies have no mean.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from canary.policy.database.section import names_customers
from canary.policy.kpis import Conversion, Kpi, Mean
from canary.policy.model import Policy
from canary.rollout.state import Rollout
from exporter.evidence.judge import (
    EntryRows,
    JudgeParameters,
    KpiParameters,
    Plan,
    RolloutEvidence,
    RolloutJudge,
    RolloutRows,
)
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.results import ExactEvidence, KpiEvidence
from exporter.evidence.rows import Rows, segment_rows, some_rows
from exporter.judge.exact import ExactHalf, has_exact_half
from exporter.judge.exactfile import ExactFiles
from exporter.judge.joins import JoinedRows
from exporter.judge.kpi_units import KpiUnits, units_of
from exporter.judge.parameters import ROWS_PER_CUSTOMER, entry_event, judge_parameters
from exporter.judge.segments import Segments
from exporter.judge.shop.baseline import cap_before, lags_before, level_before
from exporter.judge.shop.dispersion import OverDispersion, mostly, nameless
from exporter.judge.shop.rhythm import Rhythm
from exporter.judge.turns import Turns
from exporter.judge.units import Entries, Look
from exporter.judge.values import in_currencies
from exporter.ledger.rows import Codes, EventRows, Ints


@dataclass
class JudgedRollout:
    """The judge of one rollout, fed at every refresh.

    What is older than the lateness horizon has become sums, here (which customers have counted) and in the judge.
    """

    policy: Policy
    rollout: str
    parameters: JudgeParameters
    judge: RolloutJudge
    entry: str | None
    """The event with which customers come in; None where it does not tell their side."""
    currencies: dict[str, int] = field(default_factory=dict)
    """By KPI, the currency whose values are compared; amounts of different currencies have no mean."""
    _entries: Entries = field(default_factory=Entries)
    _entries_begun: bool = False
    exact: ExactHalf | None = None
    """Of a rollout with a plan, whose customers are known; without it all of alpha is the quick half's."""
    rhythm: Rhythm | None = None
    trusted: Container[str] = ()
    """KPIs that may fail although nobody knows their customers: a calibration has seen that they may."""
    _levels: dict[str, float] = field(default_factory=dict)
    """By KPI, what share of customers succeeded or converted before the start."""
    _caps: dict[str, float] = field(default_factory=dict)
    _units: dict[str, KpiUnits] = field(default_factory=dict)
    _segments: dict[str, Segments] = field(default_factory=dict)
    """Of KPIs that are looked at by them."""
    _dispersion: dict[str, OverDispersion] = field(default_factory=dict)
    _turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        """No KPI has had its turn."""
        self._turns = Turns(self.parameters.kpis)

    @classmethod
    def of(
        cls,
        policy: Policy,
        rollout: Rollout,
        *,
        by_variant: bool = False,
        files: ExactFiles | None = None,
        trusted: Container[str] = (),
        rhythm: Rhythm | None = None,
        only_proofs: bool = False,
        share_known: bool = True,
    ) -> JudgedRollout:
        """A new judge for a rollout.

        Args:
            by_variant: it is of an experiment, whose sides stand in a column of their own.
            files: where the exact half survives a restart.
            trusted: KPIs that may fail a canary although their units are not customers: a calibration has seen that
                they may.
            rhythm: how far KPIs fall over the day; without it they do not.
            only_proofs: it is looked at once, when all is over, and only for what is proven by then.
            share_known: whether the weights are the router's; otherwise nothing is held against them.
        """
        shared = [
            seconds
            for seconds, ratio in zip(rollout.durations_seconds, rollout.traffic, strict=False)
            if 0.0 < ratio < 1.0
        ]
        parameters = judge_parameters(policy, rollout.started_at.timestamp(), Plan(sum(shared), len(shared)))
        parameters = replace(parameters, kpis=tuple(_known_to_be(kpi, trusted, share_known) for kpi in parameters.kpis))
        entry = entry_event(policy)
        if by_variant and entry is not None and policy.database.events[entry].variant is None:
            entry = None
        exact = None
        if entry is not None and not by_variant and has_exact_half(policy, rollout, entry):
            parameters = replace(parameters, exact=True)
            exact = ExactHalf.of(policy, rollout, parameters, entry, files, only_proofs=only_proofs)
        judge = RolloutJudge(parameters)
        return cls(policy, rollout.id, parameters, judge, entry, exact=exact, rhythm=rhythm, trusted=trusted)

    def look(
        self, joined: JoinedRows, versions: Codes, rollout: Rollout, as_of: float, blind: Mapping[str, str]
    ) -> RolloutEvidence:
        """The evidence at *as_of*, seconds since the epoch."""
        sides = (versions.code(rollout.stable), versions.code(rollout.canary))
        weights = [(weight.since.timestamp(), weight.ratio) for weight in rollout.weights]
        timeline = Timeline.of(self.parameters.started_at, self.parameters.bucket_seconds, weights)
        entries = self._entered(joined, sides, timeline)
        look = Look(joined, self._entries, self.entry, sides, timeline)
        rows: dict[str, Rows] = {}
        waiting: dict[str, KpiEvidence] = {}
        if self.entry is None or entries is not None:  # without entries nobody's side is known
            waiting = self._turns.waiting(as_of, len(weights), blind) if joined.many else {}
            for kpi in self.parameters.kpis:
                if kpi.name in waiting:
                    continue
                units = self._units_of(kpi.name, self.policy.kpis[kpi.name], joined, versions)
                if units is not None:
                    rows[kpi.name] = units.look(look)
                    rows |= self._segment_rows(kpi.name, rows[kpi.name], units.segments)
            self._disperse(joined, rows, as_of)
            self._level(as_of)
        # A look is decided and written down before anything that follows from it is said.
        looked: list[str] = []
        exact: Mapping[str, ExactEvidence] = {}
        if self.exact is not None:
            looked = self.exact.look(joined, sides, timeline, as_of, blind, self._new_units, self._segments)
            exact = self.exact.evidence
        evidence = self.judge.judge(RolloutRows(rows, entries), weights, as_of, blind, exact, waiting)
        self._turns.took(as_of, evidence.kpis, waiting)
        for name in self._units.keys() & rows.keys():  # amounts have none before the first that tells the currency
            self._units[name].fold(self.judge.needs_since(name))
        if entries is not None:
            self._entries.fold(self.judge.needs_since())
        for name in looked:
            assert self.exact is not None
            self.exact.fold(name, self.judge.needs_since(name), self.judge.needs_since())
        return evidence

    def _units_of(self, name: str, kpi: Kpi, joined: JoinedRows, versions: Codes) -> KpiUnits | None:
        """A KPI's units; None while one of its events cannot be read."""
        needed = (kpi.from_, kpi.to) if isinstance(kpi, Conversion) else (kpi.of,)
        if any(event not in joined.rows for event in needed):
            return None
        if isinstance(kpi, Mean) and name not in self.currencies and in_currencies(kpi, joined.events):
            found = _commonest_currency(joined.rows[kpi.of], self.parameters.started_at)
            if found is None:
                return units_of(kpi)
            self.currencies[name] = found
        if name not in self._units:
            self._begin(name, kpi, joined, versions)
            self._units[name] = self._new_units(name)
        return self._units[name]

    def _disperse(self, joined: JoinedRows, rows: Container[str], as_of: float) -> None:
        """Tell the judge how far rows hang together, where a unit is one whose customer nobody knows."""
        for name, found in self._dispersion.items():
            if name in rows:
                found.look(joined, as_of)
                if found.steps:
                    self.judge.know_dispersion(name, found.steps)

    def _level(self, as_of: float) -> None:
        """Tell the judge how high the shop's KPIs usually are at this hour."""
        for name, level in self._levels.items():
            start = self.parameters.started_at
            usual = self.rhythm.usual_level(name, start, as_of) if self.rhythm is not None else 1.0
            self.judge.know_level(name, level * usual)

    def _segment_rows(self, name: str, rows: Rows, segments: Ints) -> dict[str, Rows]:
        """The same rows by segment."""
        ours = self._segments.get(name)
        if ours is None:
            return {}
        numbers = ours.numbers(segments)
        return {segment_rows(name, one): some_rows(rows, numbers == one) for one in range(len(ours.names))}

    def _begin(self, name: str, kpi: Kpi, joined: JoinedRows, versions: Codes) -> None:
        """Fix what was known of the shop before the start."""
        start, slower = self.parameters.started_at, self.policy.evidence.slower
        window = (start - self.policy.database.window, start)
        if isinstance(kpi, Mean):
            self._caps[name] = cap_before(kpi, joined, window, self.currencies.get(name, -1))
        seconds = (self.policy.database.window, self.policy.database.lateness)
        of = (self.currencies.get(name, -1), self._caps.get(name, np.inf))
        self._dispersion[name] = OverDispersion(kpi, start, *seconds, *of)
        if name not in self.trusted and mostly(nameless(kpi, joined, *window)):
            self.judge.know_no_customers(name)
        if isinstance(kpi, Conversion) and slower != "none":
            width = self.parameters.bucket_seconds
            self.judge.know_lags(name, lags_before(kpi, joined, window, up_to=slower.up_to, bucket_seconds=width))
        if not isinstance(kpi, Mean) and kpi.by is not None:
            self._segments[name] = Segments.before(kpi, joined, versions, window)
            self.judge.know_segments(name, self._segments[name].names)
        if not isinstance(kpi, Mean):
            level = level_before(kpi, joined, window, self.policy.evidence.pending_timeout)
            if level is not None:
                self._levels[name] = level

    def _entered(self, joined: JoinedRows, sides: tuple[int, int], timeline: Timeline) -> EntryRows | None:
        """The customers who came in since the last fold; None where no event tells."""
        if self.entry is None or self.entry not in joined.rows:
            return None
        self._begin_entries(self.entry, joined)
        self._entries.look(joined, self.entry, sides, timeline)
        recent = self._entries.recent
        return EntryRows(recent["time"], recent["canary"])

    def _begin_entries(self, entry: str, joined: JoinedRows) -> None:
        """Fix how many entries one customer has, by how many of those before the start named none."""
        if not self._entries_begun and names_customers(self.policy.database.events, entry):
            start, table = self.parameters.started_at, joined.rows[entry]
            before = (table.entered >= start - self.policy.database.window) & (table.entered < start)
            unknown = ~joined.origin(entry).named[before]
            if unknown.any():
                factor = 1.0 + (ROWS_PER_CUSTOMER - 1.0) * float(unknown.mean())
                self.judge.know_dispersion("", [(start, factor)])
        self._entries_begun = True

    def _new_units(self, name: str) -> KpiUnits:
        """A KPI's units, of whom nobody has counted yet."""
        return units_of(
            self.policy.kpis[name],
            self.currencies.get(name, -1),
            self._caps.get(name, np.inf),
            timeout_seconds=self.policy.evidence.pending_timeout,
        )


def _known_to_be(kpi: KpiParameters, trusted: Container[str], share_known: bool) -> KpiParameters:
    return replace(kpi, may_fail=kpi.may_fail or kpi.name in trusted, from_entry=kpi.from_entry and share_known)


def _commonest_currency(table: EventRows, until: float) -> int | None:
    """The currency of most rows before the rollout, or of all when there are none before; None without rows."""
    before = table.currency[table.time < until]
    found = before if len(before) else table.currency
    return int(np.bincount(found).argmax()) if len(found) else None

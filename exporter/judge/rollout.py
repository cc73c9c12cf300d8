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

from canary.policy.kpis import Conversion, Kpi, Mean, Success, events_of
from canary.policy.model import Policy
from canary.policy.orders import names_customers
from canary.rollout.state import Rollout
from exporter.evidence.judge import (
    Action,
    EntryRows,
    Harm,
    JudgeParameters,
    Kind,
    KpiParameters,
    Plan,
    RolloutEvidence,
    RolloutJudge,
    RolloutRows,
)
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import Rows, segment_rows, some_rows
from exporter.judge.baseline import cap_before, lags_before, level_before, segments_before
from exporter.judge.dispersion import OverDispersion
from exporter.judge.exact import ExactHalf, has_exact_half
from exporter.judge.exactfile import ExactFiles
from exporter.judge.joins import JoinedRows
from exporter.judge.kpi_units import KpiUnits, units_of
from exporter.judge.units import Entries, Look
from exporter.judge.values import in_currencies
from exporter.ledger.rows import Codes, EventRows, Ints
from exporter.source.mapping import parents_of, with_ancestors

_ROWS_PER_CUSTOMER = 10.0
"""Where no column names the customer, the sample ratio is judged as if each came ten times: with eight visits a
customer 45 % of healthy rollouts went blind. A router that ignores its weight is found within minutes all the same."""
_OTHER = "other"
"""The segment of all values that were not frequent before the start."""


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
    exact: ExactHalf | None = None
    """Of a rollout with a plan, whose customers are known; without it all of alpha is the quick half's."""
    _caps: dict[str, float] = field(default_factory=dict)
    _units: dict[str, KpiUnits] = field(default_factory=dict)
    _segments: dict[str, list[int]] = field(default_factory=dict)
    """By KPI, the values that are looked at, most frequent first."""
    _dispersion: dict[str, OverDispersion] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        policy: Policy,
        rollout: Rollout,
        *,
        by_variant: bool = False,
        files: ExactFiles | None = None,
        trusted: Container[str] = (),
    ) -> JudgedRollout:
        """A new judge for a rollout.

        Args:
            by_variant: it is of an experiment, whose sides stand in a column of their own.
            files: where the exact half survives a restart.
            trusted: KPIs that may fail a canary although their units are not customers: a calibration has seen that
                they may.
        """
        shared = [
            seconds
            for seconds, ratio in zip(rollout.durations_seconds, rollout.traffic, strict=False)
            if 0.0 < ratio < 1.0
        ]
        parameters = judge_parameters(policy, rollout.started_at.timestamp(), Plan(sum(shared), len(shared)))
        kpis = (replace(kpi, may_fail=kpi.may_fail or kpi.name in trusted) for kpi in parameters.kpis)
        parameters = replace(parameters, kpis=tuple(kpis))
        entry = entry_event(policy)
        if by_variant and entry is not None and policy.database.events[entry].variant is None:
            entry = None
        exact = None
        if entry is not None and not by_variant and has_exact_half(policy, rollout, entry):
            parameters = replace(parameters, exact=True)
            exact = ExactHalf.of(policy, rollout, parameters, entry, files)
        return cls(policy, rollout.id, parameters, RolloutJudge(parameters), entry, exact=exact)

    def look(
        self, joined: JoinedRows, versions: Codes, rollout: Rollout, as_of: float, blind: Mapping[str, str]
    ) -> RolloutEvidence:
        """The evidence at *as_of*, seconds since the epoch."""
        sides = (versions.code(rollout.stable), versions.code(rollout.canary))
        weights = [(weight.since.timestamp(), weight.ratio) for weight in rollout.weights]
        timeline = Timeline.of(self.parameters.started_at, self.parameters.bucket_seconds, weights)
        entry, held = self.entry, joined.rows
        entries = None
        if entry is not None and entry in held:
            self._entries.look(held[entry], joined.origin(entry).unit, sides, timeline)
            recent = self._entries.recent
            entries = EntryRows(recent["time"], recent["canary"])
        look = Look(joined, self._entries, entry, sides, timeline)
        rows: dict[str, Rows] = {}
        if entry is None or entries is not None:  # without entries nobody's side is known
            for kpi in self.parameters.kpis:
                units = self._units_of(kpi.name, self.policy.kpis[kpi.name], joined, versions)
                if units is not None:
                    rows[kpi.name] = units.look(look)
                    rows |= self._segment_rows(kpi.name, rows[kpi.name], units.segments)
            self._disperse(joined, rows, as_of)
        # A look is decided and written down before anything that follows from it is said.
        looked, proven_at = [], {}
        if self.exact is not None:
            looked = self.exact.look(joined, sides, timeline, as_of, blind, self._new_units)
            proven_at = self.exact.proven_at
        evidence = self.judge.judge(RolloutRows(rows, entries), weights, as_of, blind, proven_at)
        for name in self._units.keys() & rows.keys():  # amounts have none before the first that tells the currency
            self._units[name].fold(self.judge.needs_since(name))
        if entries is not None:
            self._entries.fold(self.judge.needs_since())
        if self.exact is None:
            return evidence
        for name in looked:
            self.exact.fold(name, self.judge.needs_since(name))
        said = self.exact.evidence
        kpis = {name: replace(kpi, exact=said.get(name)) for name, kpi in evidence.kpis.items()}
        return replace(evidence, kpis=kpis)

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
        """Tell the judge how far rows hang together, of the KPIs whose units are not customers."""
        for name, found in self._dispersion.items():
            if name in rows:
                found.look(joined, as_of)
                self.judge.know_dispersion(name, found.steps)

    def _segment_rows(self, name: str, rows: Rows, segments: Ints) -> dict[str, Rows]:
        """The same rows by segment; what is none of those that were frequent before the start counts as `other`."""
        codes = self._segments.get(name)
        if codes is None:
            return {}
        other = ~np.isin(segments, codes)
        chosen = [*(segments == code for code in codes), other]
        return {segment_rows(name, number): some_rows(rows, ours) for number, ours in enumerate(chosen)}

    def _begin(self, name: str, kpi: Kpi, joined: JoinedRows, versions: Codes) -> None:
        """Fix what was known of the shop before the start."""
        start, slower = self.parameters.started_at, self.policy.evidence.slower
        window = (start - self.policy.database.window, start)
        if isinstance(kpi, Mean):
            self._caps[name] = cap_before(kpi, joined, window, self.currencies.get(name, -1))
        if not knows_customers(self.policy, kpi):
            seconds = (self.policy.database.window, self.policy.database.lateness)
            of = (self.currencies.get(name, -1), self._caps.get(name, np.inf))
            self._dispersion[name] = OverDispersion(kpi, start, *seconds, *of)
        if isinstance(kpi, Conversion) and slower != "none":
            width = self.parameters.bucket_seconds
            self.judge.know_lags(name, lags_before(kpi, joined, window, up_to=slower.up_to, bucket_seconds=width))
        if not isinstance(kpi, Mean) and kpi.by is not None:
            codes = [code for code in segments_before(kpi, joined, window) if versions.texts[code] != _OTHER]
            self._segments[name] = codes
            self.judge.know_segments(name, [*(versions.texts[code] for code in codes), _OTHER])
        if not isinstance(kpi, Mean):
            level = level_before(kpi, joined, window, self.policy.evidence.pending_timeout)
            if level is not None:
                self.judge.know_level(name, level)

    def _new_units(self, name: str) -> KpiUnits:
        """A KPI's units, of whom nobody has counted yet."""
        return units_of(self.policy.kpis[name], self.currencies.get(name, -1), self._caps.get(name, np.inf))


def _commonest_currency(table: EventRows, until: float) -> int | None:
    """The currency of most rows before the rollout, or of all when there are none before; None without rows."""
    before = table.currency[table.time < until]
    found = before if len(before) else table.currency
    return int(np.bincount(found).argmax()) if len(found) else None


def only_read(policy: Policy, events: Container[str] | None) -> Policy:
    """The policy without events whose tables are not there, and so not read; None: all are."""
    if events is None:
        return policy
    kept = {name: event for name, event in policy.database.events.items() if name in events}
    return replace(policy, database=replace(policy.database, events=kept))


def entry_event(policy: Policy) -> str | None:
    """The event with which a customer comes in: the first without a parent that a KPI starts from or descends from.

    Where nothing converts, attempts come before the orders that come of them: whoever fails to pay has no order.
    """
    events = policy.database.events
    starts = [kpi.from_ for kpi in policy.kpis.values() if isinstance(kpi, Conversion)]
    starts += [kpi.of for kpi in policy.kpis.values() if isinstance(kpi, Success)]
    read = with_ancestors(events, (event for kpi in policy.kpis.values() for event in events_of(kpi)))
    candidates = [*starts, *(name for name in events if name in read)]
    return next((name for name in candidates if name in events and not parents_of(events, name)), None)


def judge_parameters(policy: Policy, started_at: float, plan: Plan = Plan()) -> JudgeParameters:  # noqa: B008 - immutable
    """The judge's parameters for a rollout that began at `started_at` (seconds since the epoch).

    KPIs with `judge: threshold` are left to the windowed rule and take no share of alpha.
    """
    entry = entry_event(policy)
    return JudgeParameters(
        started_at=started_at,
        kpis=tuple(kpi_parameters(policy, name, kpi) for name, kpi in policy.kpis.items() if kpi.judge == "evidence"),
        alpha=policy.evidence.alpha,
        bucket_seconds=policy.evidence.bucket,
        lateness_seconds=policy.database.lateness,
        changing_seconds=policy.evidence.pending_timeout,
        warmup_seconds=policy.evidence.warmup,
        plan=plan,
        mismatch_tolerance=policy.evidence.mismatch,
        rows_per_customer=1.0
        if entry is None or names_customers(policy.database.events, entry)
        else _ROWS_PER_CUSTOMER,
    )


def kpi_parameters(policy: Policy, name: str, kpi: Kpi) -> KpiParameters:
    """What the judge needs to know about one KPI of the policy."""
    action, slower = Action(kpi.action), policy.evidence.slower
    if isinstance(kpi, Mean):
        harm = Harm.DECREASE if kpi.better == "higher" else Harm.INCREASE
        return KpiParameters(
            name,
            Kind.MEAN,
            tolerance=kpi.tolerance,
            action=action,
            harm=harm,
            may_fail=knows_customers(policy, kpi),
        )
    asked = isinstance(kpi, Conversion) and slower != "none"
    return KpiParameters(
        name,
        Kind.CONVERSION if isinstance(kpi, Conversion) else Kind.SUCCESS,
        tolerance=kpi.tolerance,
        floor=kpi.floor,
        action=action,
        pending_timeout_seconds=policy.evidence.pending_timeout,
        from_entry=isinstance(kpi, Conversion) and kpi.from_ == entry_event(policy),
        slower_up_to=slower.up_to if asked and slower != "none" else None,
        slower_evidence=slower.evidence if slower != "none" else 1.0,
        watch_fails=policy.rollback.watch_action == "rollback",
        may_fail=knows_customers(policy, kpi),
        segments=kpi.segments + 1 if kpi.by is not None else 0,
        watch_stable=policy.evidence.stable_harm == "hold" and action is not Action.WARN,
    )


def knows_customers(policy: Policy, kpi: Kpi) -> bool:
    """Whether the KPI's units are what the router assigns; otherwise chance alone may look like harm, and it holds."""
    return names_unit(policy, kpi) and not (isinstance(kpi, Success) and kpi.attempts == "each")


def names_unit(policy: Policy, kpi: Kpi) -> bool:
    """Whether the KPI's rows, or those they come from, name their customer."""
    event = kpi.from_ if isinstance(kpi, Conversion) else kpi.of
    events = policy.database.events
    return event not in events or names_customers(events, event)

"""The exact half of a rollout's judgement, fed with customers: from joined rows to its looks, live and replayed.

A customer counts once in each phase, on the side of the first entry in it, from `SETTLING_SECONDS` after it began:
until all routers have switched, a customer's version is not what the plan's weight says. The rows are reduced to
customers as for the quick half (`exporter.judge.kpi_units`), each phase as if it were a rollout of its own.

Each KPI looks at a moment of its own, so that no refresh has to pay for all of them. A look is decided once, on what is
known then; its state is written down before anybody hears of it. Without that state (a lost file, one that could not be
written for a while, a past rollout) the rows are replayed by their own times through the same looks.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash

from canary.policy.kpis import Conversion, Kpi, events_of
from canary.policy.model import Policy
from canary.policy.plans import NORMAL
from canary.rollout.state import Rollout
from exporter.evidence.comparisons.outcome import with_timeout
from exporter.evidence.exact.randomisation import LOOK_SECONDS, ExactParameters, Randomisation, draws_for
from exporter.evidence.exact.redraw import HashedPlaces
from exporter.evidence.exact.screen import PART, never_removed
from exporter.evidence.exact.spending import Plan, PlannedPhase
from exporter.evidence.exact.steps import Customers, Steps
from exporter.evidence.grid import Floats
from exporter.evidence.judge import JudgeParameters, Kind, KpiParameters
from exporter.evidence.progress.timeline import Segment, Timeline
from exporter.evidence.progress.warmup import Warmup
from exporter.evidence.results import ExactEvidence
from exporter.evidence.rows import OutcomeRows
from exporter.evidence.verdict import Harm
from exporter.judge.exactfile import ExactFiles
from exporter.judge.joins import JoinedRows
from exporter.judge.kpi_units import KpiUnits
from exporter.judge.segments import Segments
from exporter.judge.units import Entries, Look
from exporter.source.assignments.agreement import SETTLING_SECONDS
from exporter.source.mapping import with_ancestors


@dataclass
class _Phase:
    """The customers of one stretch of constant weight, as if it were a rollout of its own."""

    timeline: Timeline
    entries: Entries = field(default_factory=Entries)
    units: dict[str, KpiUnits] = field(default_factory=dict)

    @classmethod
    def of(cls, segment: Segment, timeline: Timeline, warmup_seconds: float) -> _Phase:
        """The phase of a rollout's *segment*, once its end is known or as long as it lasts."""
        weights = [(segment.start + max(SETTLING_SECONDS, warmup_seconds), segment.weight)]
        if np.isfinite(segment.end):
            weights.append((max(segment.end, weights[0][0]), 0.0))
        return cls(Timeline.of(weights[0][0], timeline.bucket_seconds, weights))


@dataclass
class ExactHalf:
    """All KPIs' randomisation tests of one rollout.

    Attributes:
        entry: the event with which customers come in.
        tests: by KPI.
        files: where they survive a restart; None where nothing needs to (a study of the past).
        followed: KPIs whose looks up to now have been made.
        restored: KPIs that go on from a file, and have not looked since. Where looks are missing behind it, they may
            have been made and told, while a full disk kept them from being written.
        only_proofs: it looks once, when all is over, and nobody asks how much of alpha has been spent.
    """

    policy: Policy
    rollout: str
    entry: str
    kpis: tuple[KpiParameters, ...]
    tests: dict[str, Randomisation] = field(default_factory=dict)
    files: ExactFiles | None = None
    followed: set[str] = field(default_factory=set)
    restored: set[str] = field(default_factory=set)
    only_proofs: bool = False
    _phases: dict[int, _Phase] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        policy: Policy,
        rollout: Rollout,
        parameters: JudgeParameters,
        entry: str,
        files: ExactFiles | None,
        *,
        only_proofs: bool = False,
    ) -> ExactHalf:
        """The tests of a rollout, with what files remember of them."""
        plan = plan_of(policy, rollout)
        # Where each attempt counts by itself there are no customers to draw.
        kpis = tuple(kpi for kpi in parameters.kpis if getattr(policy.kpis[kpi.name], "attempts", "") != "each")
        half = cls(policy, rollout.id, entry, kpis, files=files, only_proofs=only_proofs)
        for number, kpi in enumerate(kpis):
            alpha = plan.alpha(parameters.exact_alpha_of(kpi))
            first = parameters.started_at + LOOK_SECONDS * (1.0 + number / len(kpis))
            redraw = HashedPlaces(rollout.id, draws_for(alpha))
            test = Randomisation(_exact_parameters(kpi, policy.kpis[kpi.name], alpha, entry), plan, redraw, first)
            saved = files.read(rollout.id, kpi.name, counted_by(policy, kpi.name)) if files is not None else None
            if saved is not None and test.restore(saved):
                half.followed.add(kpi.name)
                half.restored.add(kpi.name)
            half.tests[kpi.name] = test
        return half

    @property
    def evidence(self) -> dict[str, ExactEvidence]:
        """By KPI, what has been proven, and how much of alpha has been spent on it."""
        return {
            name: ExactEvidence(test.proven_at, test.spent_ratio, test.replayed, self._worst(name))
            for name, test in self.tests.items()
        }

    def look(
        self,
        joined: JoinedRows,
        sides: tuple[int, int],
        timeline: Timeline,
        as_of: float,
        blind: Container[str],
        new_units: Callable[[str], KpiUnits],
        segments: Mapping[str, Segments],
    ) -> list[str]:
        """Make the looks that are due, and say of which KPIs; one in *blind* misses its own.

        Args:
            sides: the versions of stable and canary.
            timeline: the rollout's weights.
            as_of: what is known is what was so at this moment, seconds since the epoch.
            new_units: makes a KPI's units, of whom nobody has counted yet.
            segments: by which KPIs are looked at.
        """
        due = [kpi for kpi in self.kpis if as_of >= self.tests[kpi.name].next_look and kpi.name not in blind]
        due = [kpi for kpi in due if {self.entry, *events_of(self.policy.kpis[kpi.name])} <= joined.rows.keys()]
        if not due:
            return []
        self._begin_phases(timeline, as_of)
        weights = [(segment.start, segment.weight) for segment in timeline.segments]
        warmup = Warmup(timeline, self.policy.evidence.warmup)
        for kpi in due:
            test = self.tests[kpi.name]
            steps = self._steps(kpi, joined, sides, warmup, new_units, segments.get(kpi.name))
            if kpi.name not in self.followed or (kpi.name in self.restored and test.misses(as_of)):
                self.followed.add(kpi.name)
                if self.only_proofs and self._never_proven(test, steps, weights, as_of):
                    continue
                self._replay(test, steps, weights, as_of)
            self.restored.discard(kpi.name)
            test.count(steps.between(-np.inf, as_of), weights)
            test.look(weights, as_of)
            if self.files is not None:
                self.files.write(self.rollout, kpi.name, test.saved(), counted_by(self.policy, kpi.name))
        return [kpi.name for kpi in due]

    def _replay(self, test: Randomisation, steps: Steps, weights: Sequence[tuple[float, float]], as_of: float) -> None:
        """Make all looks that are missing, each on what was known at its own moment, however much later that is now."""
        before = -np.inf
        test.replayed |= test.misses(as_of)
        moments = _moments(test.next_look, as_of)
        for moment, allowed in zip(moments.tolist(), test.allowed(weights, moments).tolist(), strict=True):
            if allowed > test.used:  # what no look needs to know is counted with the next that does
                test.count(steps.between(before, moment), weights)
                before = moment
            test.look(weights, moment, allowed)

    def _never_proven(
        self, test: Randomisation, steps: Steps, weights: Sequence[tuple[float, float]], as_of: float
    ) -> bool:
        few = HashedPlaces(self.rollout, test.redraw.draws // PART)
        return never_removed(test, few, steps, weights, _moments(test.next_look, as_of))

    def _worst(self, kpi: str) -> str | None:
        """The name of the segment that proved a KPI's harm."""
        test = self.tests[kpi]
        return test.names[test.worst] if test.worst is not None else None

    def _begin_phases(self, timeline: Timeline, as_of: float) -> None:
        for segment in timeline.segments:
            if not segment.comparable or segment.start > as_of:
                continue
            known = self._phases.get(segment.index)
            fresh = _Phase.of(segment, timeline, self.policy.evidence.warmup)
            if known is None:
                self._phases[segment.index] = fresh
            else:
                known.timeline = fresh.timeline

    def _steps(
        self,
        kpi: KpiParameters,
        joined: JoinedRows,
        sides: tuple[int, int],
        warmup: Warmup,
        new_units: Callable[[str], KpiUnits],
        segments: Segments | None,
    ) -> Steps:
        """What became of the customers of all phases, as far as it may have changed since the last look."""
        found, test = [], self.tests[kpi.name]
        if segments is not None and not test.names:
            test.names = segments.names
        for number, phase in self._phases.items():
            phase.entries.look(joined, self.entry, sides, phase.timeline)
            if kpi.name not in phase.units:
                phase.units[kpi.name] = new_units(kpi.name)
            rows = phase.units[kpi.name].look(Look(joined, phase.entries, self.entry, sides, phase.timeline))
            if isinstance(rows, OutcomeRows):
                rows = with_timeout(rows, kpi.pending_timeout_seconds, may_wait=kpi.may_wait)
            rows = warmup.happened(rows)  # of a later phase's too
            keys, codes = phase.units[kpi.name].keys, phase.units[kpi.name].segments
            drawn = np.isfinite(phase.entries.of(keys)[0])  # the router has put nobody on a side who never came in
            none = np.zeros(len(keys), dtype=np.int64)
            numbers = segments.numbers_among(test.names, codes) if segments is not None else none
            found.append(Steps.of(rows, Customers(keys.view(np.uint64), numbers, drawn), number))
        return Steps.all_of(found)

    def fold(self, kpi: str, until: float, entries_until: float) -> None:
        """What became of a KPI's customers before *until*, and who came in before, does not change any more.

        Only what this very look has seen is kept: what came since the last one is there, and nothing later.
        """
        for phase in self._phases.values():
            phase.entries.fold(entries_until)
            if kpi in phase.units:
                phase.units[kpi].fold(until)


def _moments(first: float, until: float) -> Floats:
    """The looks from *first* on, to the last digit as a process that lives on comes to them."""
    moments = []
    while first <= until:
        moments.append(first)
        first += LOOK_SECONDS
    return np.asarray(moments)


def counted_by(policy: Policy, kpi: str) -> str:
    """What a KPI counts and where it is read, as a digest: while a rollout runs its events may be mapped anew."""
    events = policy.database.events
    read = {
        name: events[name] for name in sorted(with_ancestors(events, events_of(policy.kpis[kpi]))) if name in events
    }
    return xxhash.xxh64_hexdigest(f"{policy.kpis[kpi]!r} {read!r} {policy.evidence.warmup!r}".encode())


def has_exact_half(policy: Policy, rollout: Rollout, entry: str) -> bool:
    """Whether there is a plan to spend alpha by, and customers to draw: otherwise all of alpha is the quick half's."""
    return policy.database.events[entry].unit is not None and plan_of(policy, rollout).seconds > 0.0


def plan_of(policy: Policy, rollout: Rollout) -> Plan:
    """The plan that a rollout runs by, as far as spending alpha depends on it.

    What ends a phase of testers alone, or the one at 100 %, moves no weight that is compared.
    """
    planned = tuple(PlannedPhase(*phase) for phase in zip(rollout.traffic, rollout.durations_seconds, strict=True))
    own = policy.phases if rollout.plan == NORMAL else policy.plans.get(rollout.plan, policy.phases)
    compared = [phase for phase in own if 0.0 < phase.traffic < 1.0]
    return Plan(
        planned,
        when_proven=any(phase.advance == "when_proven" for phase in compared),
        gated=any(phase.gate is not None for phase in compared),
    )


def _exact_parameters(kpi: KpiParameters, policy: Kpi, alpha: float, entry: str) -> ExactParameters:
    less_is_harm = kpi.kind is Kind.CONVERSION or (kpi.kind is Kind.MEAN and kpi.harm is Harm.DECREASE)
    return ExactParameters(
        alpha,
        harm=-1.0 if less_is_harm else 1.0,
        of_entries=isinstance(policy, Conversion) and policy.from_ == entry,
        by_information=kpi.kind is not Kind.SUCCESS,
        segments=max(kpi.segments, 1),
    )

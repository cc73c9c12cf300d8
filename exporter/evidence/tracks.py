"""A rollout's tests and how far each has come: what is past the lateness horizon is folded in, for good.

A KPI has up to five tests: its comparison, the floor of the canary and of stable next to it, the watch of the canary's
floor where stable has no traffic any more, and stable's level against the one before the rollout. A look folds what
cannot change any more and looks at the rest without keeping it, so that a row which comes late, or becomes something
else, is seen anew at the next look.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from exporter.evidence.comparisons.cohort_test import CohortTest
from exporter.evidence.comparisons.conversion import ConversionTest
from exporter.evidence.comparisons.events import Events
from exporter.evidence.comparisons.floor import FloorTest
from exporter.evidence.comparisons.level import CONVERTS_SECONDS, LevelTest
from exporter.evidence.comparisons.mean import DECREASE_GRID, INCREASE_GRID, MeanTest
from exporter.evidence.comparisons.mismatch import MismatchTest
from exporter.evidence.comparisons.outcome import OutcomeTest
from exporter.evidence.comparisons.slower import LagShape
from exporter.evidence.comparisons.watch import WatchTest
from exporter.evidence.parameters import JudgeParameters, Kind, KpiParameters
from exporter.evidence.progress.restarts import Plan
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.trajectory import Dispersion, Track, Trajectory
from exporter.evidence.rows import EntryRows, OutcomeRows, Rows
from exporter.evidence.verdict import Harm

_FEW_OUTCOMES = 20_000
"""Up to so many outcomes are judged anew at every look: a failure that a second try turns into a success, and outcomes
of a shop that does not write down when they became final, then count as what they became."""


_FOLD_SECONDS = 10.0
"""So often what cannot change any more is folded in. Each fold of some units costs a copy of all, which at each look
would be most of what a look costs; the units of ten seconds more, looked at again, are a tenth of the horizon's."""


class Part(StrEnum):
    """Which of a KPI's tests."""

    COMPARISON = "comparison"
    FLOOR = "floor"
    STABLE_FLOOR = "stable_floor"
    WATCH = "watch"
    WATCH_AGAIN = "watch again"
    """The same, restarting every minute and every day."""
    LEVEL = "level"
    """Stable against the shop before the start."""
    ENTRIES = "entries"
    """The sample ratio: the rollout's own test, of no KPI."""


Key = tuple[str, str]
"""A KPI's name, empty for the rollout's own test, and which test it is."""
ENTRIES: Key = ("", Part.ENTRIES)


def segment_part(number: int) -> str:
    """The comparison of one of a KPI's segments."""
    return f"{_SEGMENT}{number}"


_SEGMENT = "segment "
_WATCHES = (Part.WATCH, Part.WATCH_AGAIN)
"""Tests of what comes when comparisons have ended."""


@dataclass(slots=True)
class Tracks:
    """All tests of one rollout."""

    parameters: JudgeParameters
    _tracks: dict[Key, Track] = field(init=False)
    _seen: dict[Key, Track] = field(init=False, default_factory=dict)
    """What each test last knew of rows that may still change; without rows that is not unknown again."""
    _dispersion: dict[str, Dispersion] = field(init=False, default_factory=dict)
    """By KPI, of those whose units are not customers."""

    def __post_init__(self) -> None:
        """Begin every test."""
        parameters = self.parameters
        entries = MismatchTest(parameters.alpha, parameters.mismatch_tolerance, dispersion=parameters.rows_per_customer)
        self._tracks = {ENTRIES: Track(entries)}
        for kpi in self.parameters.kpis:
            self._begin(kpi, None)

    def know_lags(self, kpi: KpiParameters, lags: LagShape) -> None:
        """How soon a conversion's events came before the rollout; a test that has begun is left as it is."""
        if kpi.slower_up_to is not None and not self._tracks[kpi.name, Part.COMPARISON].test.bucket:
            self._begin(kpi, lags)

    def know_level(self, kpi: KpiParameters, limit: float) -> None:
        """The level below which stable is worse than the shop usually is; counts stay, as they know no level."""
        known = self._tracks.get((kpi.name, Part.LEVEL))
        if known is not None and isinstance(known.test, LevelTest):
            self._tracks[kpi.name, Part.LEVEL] = Track(replace(known.test, limit=limit), known.path)
            return
        patience = CONVERTS_SECONDS if kpi.kind is Kind.CONVERSION else None
        self._tracks[kpi.name, Part.LEVEL] = Track(LevelTest(limit, patience))

    def know_dispersion(self, kpi: str, steps: Dispersion) -> None:
        """From which bucket on a KPI's likelihoods are divided by how much; what is folded in already stays."""
        self._dispersion[kpi] = steps

    def know_segments(self, kpi: str, count: int) -> None:
        """How many segments there are; tests of further ones would wait for rows for ever."""
        self._tracks = {
            (name, part): track
            for (name, part), track in self._tracks.items()
            if name != kpi or not part.startswith(_SEGMENT) or int(part.removeprefix(_SEGMENT)) < count
        }

    def has(self, key: Key) -> bool:
        """Whether there is such a test."""
        return key in self._tracks

    def _begin(self, kpi: KpiParameters, lags: LagShape | None) -> None:
        alpha, patience = self.parameters.alpha_of(kpi), kpi.pending_timeout_seconds
        tests: dict[str, Track] = {Part.COMPARISON: Track(_comparison(kpi, alpha, self.parameters.plan, lags))}
        for number in range(kpi.segments):
            segment_alpha = self.parameters.segment_alpha_of(kpi)
            tests[segment_part(number)] = Track(_comparison(kpi, segment_alpha, self.parameters.plan, lags))
        if kpi.floor is not None:
            tests |= {
                Part.FLOOR: Track(FloorTest(kpi.floor, alpha, patience)),
                Part.STABLE_FLOOR: Track(FloorTest(kpi.floor, alpha, patience, of_canary=False)),
                Part.WATCH: Track(FloorTest(kpi.floor, alpha / 2.0, patience)),
                Part.WATCH_AGAIN: Track(WatchTest(kpi.floor)),
            }
        self._tracks |= {(kpi.name, part): track for part, track in tests.items()}

    def oldest_bucket(self, kpi: str, ends: int) -> int:
        """The first bucket that some test of a KPI (of the rollout without one) has not folded in.

        Args:
            kpi: its name, or nothing.
            ends: the bucket with which comparisons end; a test that has come so far needs nothing more, and the watch
                nothing before.
        """
        ours = {part: track.test.bucket for (name, part), track in self._tracks.items() if name == kpi}
        buckets = [bucket for part, bucket in ours.items() if part not in _WATCHES and bucket < ends]
        buckets += [max(bucket, ends) for part, bucket in ours.items() if part in _WATCHES]
        return min(buckets, default=max(ours.values()))

    def path(self, key: Key) -> Trajectory:
        """What a test last said."""
        return self._seen.get(key, self._tracks[key]).path

    def follow(
        self, key: Key, rows: Rows | EntryRows | Events | None, timeline: Timeline, until: float, as_of: float
    ) -> tuple[Trajectory, tuple[int, int]]:
        """Fold what is past the horizon, look at what is not; without rows, repeat what is known."""
        track = self._tracks[key]
        if rows is None:
            seen = self._seen.get(key, track)
            return seen.path, seen.test.units
        last = timeline.complete(until)
        horizon = _horizon(timeline, as_of - self._changing_seconds(rows), last)
        steps = self._dispersion.get(key[0], ())
        folded = track.advance(rows, timeline, horizon, steps)
        self._tracks[key] = folded
        seen = folded.advance(rows, timeline, last, steps)
        if isinstance(seen.test, CohortTest):
            seen = replace(seen, path=seen.test.present(seen.path, rows, timeline))
        self._seen[key] = seen
        return seen.path, seen.test.units

    def folded(self, key: Key, rows: Rows | None, timeline: Timeline, as_of: float) -> Trajectory:
        """A test's path up to the lateness horizon: what nobody acts upon need not be looked at before."""
        track = self._tracks[key]
        if rows is not None:
            steps = self._dispersion.get(key[0], ())
            horizon = _horizon(timeline, as_of - self.parameters.lateness_seconds, timeline.complete(as_of))
            track = track.advance(rows, timeline, horizon, steps)
            self._tracks[key] = track
        return track.path

    def _changing_seconds(self, rows: Rows | EntryRows | Events) -> float:
        """How long what is known of a unit may change; a long time is waited for only where that costs little."""
        lateness = self.parameters.lateness_seconds
        few = isinstance(rows, OutcomeRows) and len(rows.entered) <= _FEW_OUTCOMES
        return max(lateness, self.parameters.changing_seconds) if few else lateness


def _horizon(timeline: Timeline, unchanging_until: float, last: int) -> int:
    """Up to which bucket to fold in: by whole steps, and up to the *last* as soon as nothing of it can change."""
    horizon, step = timeline.complete(unchanging_until), max(1, round(_FOLD_SECONDS / timeline.bucket_seconds))
    return last if horizon >= last else horizon - horizon % step


def _comparison(
    kpi: KpiParameters, alpha: float, plan: Plan, lags: LagShape | None
) -> ConversionTest | OutcomeTest | MeanTest:
    if kpi.kind is Kind.CONVERSION:
        if kpi.slower_up_to is not None and lags is None:
            lags = LagShape.unknown()
        return ConversionTest.new(alpha, plan, lags=lags, against_weight=kpi.from_entry)
    if kpi.kind is Kind.SUCCESS:
        return OutcomeTest.new(alpha, plan)
    return MeanTest(alpha, DECREASE_GRID if kpi.harm is Harm.DECREASE else INCREASE_GRID)

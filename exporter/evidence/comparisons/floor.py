"""An absolute floor on the canary alone: is its success ratio proven to be below it?

Units count in order of entry, never in order of resolution: declines are often known at once while
successes take minutes, and then the first resolved units are all failures. A unit still pending
counts as a success where harm is to be proven, and as a failure where health is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.grid import Bools, Floats, Ints, confidence_sequence, log10_evidence, symmetric_grid
from exporter.evidence.progress.timeline import Timeline, distinct
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.rows import OutcomeRows

GRID = symmetric_grid(((1.0, 0.05), (3.0, 0.1), (6.0, 0.25)), sd=2.0, harm_sign=-1)
"""Log odds of success against the floor's. They reach far, because a payment provider that is down is far below it."""

_LONGEST_LAG_SECONDS = 3600.0
"""Where no pending time-out says after which time an outcome is known: nearly all are within an hour."""


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class FloorTest:
    """The test of one floor, all buckets before `bucket` folded in; immutable.

    Evidence is looked at for several prefixes of one side's units, those older than 0, 1, 2, 4, ...
    buckets: the youngest prefix knows most units, the oldest has the fewest pending. Ville's bound
    covers all prefixes at once, so the strongest one speaks.
    """

    floor: float
    alpha: float
    pending_timeout_seconds: float | None = None
    of_canary: bool = True
    """Whose units: the canary's, or stable's, whose floor tells an outage of both from a harm of one."""
    bucket: int = 0
    entered: Ints = field(default_factory=_none)
    """Units that entered, by bucket."""
    known: Ints = field(default_factory=lambda: np.zeros((4, 0), dtype=np.int64))
    """Buckets of entry and of resolution, and how many units and failures they share; the oldest are forgotten."""
    forgotten: tuple[int, int] = (0, 0)
    """Units and failures that are in every prefix by now."""
    dispersion: float = 1.0
    """By what likelihoods are divided where units are not customers: rows of one hang together."""

    @property
    def units(self) -> tuple[int, int]:
        """Canary and stable units that entered and were folded in; one side has no part in this."""
        entered = int(self.entered.sum())
        return (entered, 0) if self.of_canary else (0, entered)

    def dispersed(self, factor: float) -> FloorTest:
        """The same, from now on with likelihoods divided by the over-dispersion of its units."""
        return replace(self, dispersion=factor)

    def lags(self, bucket_seconds: float) -> Ints:
        """The prefixes' ages in buckets."""
        longest = (self.pending_timeout_seconds or _LONGEST_LAG_SECONDS) / bucket_seconds
        doublings = max(0, int(np.ceil(np.log2(max(longest, 1.0)))))
        return np.concatenate([[0], 2 ** np.arange(doublings + 1)]).astype(np.int64)

    def advance(self, rows: OutcomeRows, timeline: Timeline, until: int) -> tuple[FloorTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the units that entered or were resolved in them."""
        if until <= self.bucket:
            return self, Trajectory.empty()
        chosen = np.flatnonzero(rows.canary == self.of_canary)
        chosen = chosen[timeline.segment_of(rows.assigned[chosen]) >= 0]
        entries = timeline.bucket(rows.entered[chosen])
        resolved = np.maximum(timeline.bucket(rows.resolved[chosen]), entries)
        arrived = entries[(entries >= self.bucket) & (entries < until)]
        news = (resolved >= self.bucket) & (resolved < until)
        entered = np.concatenate([self.entered, np.bincount(arrived - self.bucket, minlength=until - self.bucket)])
        fresh = _together(entries[news], resolved[news], rows.failed[chosen][news], until)
        known = np.concatenate([self.known, fresh], axis=1)
        lags = self.lags(timeline.bucket_seconds)
        changes = np.concatenate([arrived, *(np.maximum(known[1], known[0] + lag) for lag in lags)])
        moments = distinct(changes, self.bucket, until)
        prefixes = Prefixes.of(entered, known, self.forgotten, lags, moments)
        kept = np.maximum(known[1], known[0] + lags[-1]) >= until
        gone = known[2:, ~kept].sum(axis=1)
        forgotten = (self.forgotten[0] + int(gone[0]), self.forgotten[1] + int(gone[1]))
        test = replace(self, bucket=until, entered=entered, known=known[:, kept], forgotten=forgotten)
        return test, self._trajectory(timeline, moments, prefixes)

    def _trajectory(self, timeline: Timeline, buckets: Ints, prefixes: Prefixes) -> Trajectory:
        if not buckets.size:
            return Trajectory.empty()
        # What is pending speaks for the canary where harm is to be proven, against it where health is.
        for_it = self._likelihood(prefixes.entered, prefixes.failed)
        evidence = log10_evidence(GRID, for_it)
        strongest = (evidence.argmax(axis=0), np.arange(buckets.size))
        upper = confidence_sequence(GRID, for_it[strongest], self.alpha)[1]
        few = slice(None, None, 3)
        against_it = self._likelihood(
            prefixes.entered[few], (prefixes.entered - prefixes.resolved + prefixes.failed)[few]
        )
        lower = confidence_sequence(GRID, against_it, self.alpha)[0].max(axis=0)
        with np.errstate(invalid="ignore"):
            succeeded = 1.0 - prefixes.failed[0] / prefixes.resolved[0]
        return Trajectory.plain(
            time=timeline.end_of(buckets),
            estimate=succeeded,
            lower=self._ratio(lower),
            upper=self._ratio(upper),
            log10_evidence=evidence[strongest],
            canary_units=prefixes.resolved[0] * self.of_canary,
            stable_units=prefixes.resolved[0] * (not self.of_canary),
        )

    def _likelihood(self, units: Ints, failed: Ints) -> Floats:
        return level_likelihood(self.floor, units - failed, failed) / self.dispersion

    def _ratio(self, effect: Floats) -> Floats:
        ratio: Floats = 1.0 / (1.0 + np.exp(-(_logit(self.floor) + effect)))
        return ratio


@dataclass(frozen=True, slots=True, eq=False)
class Prefixes:
    """Counts per lag (rows) and moment (columns): units that old, those of them resolved, those of them failed."""

    entered: Ints
    resolved: Ints
    failed: Ints

    @classmethod
    def of(cls, entered: Ints, known: Ints, forgotten: tuple[int, int], lags: Ints, moments: Ints) -> Prefixes:
        """Count: a unit is in a prefix from bucket entry + lag on, and known there once it is resolved too."""
        so_far = np.concatenate([[0], np.cumsum(entered)])
        counts = []
        for lag in lags:
            at = np.searchsorted(moments, np.maximum(known[1], known[0] + lag))
            resolved, failed = (
                before + np.bincount(at, weights=units, minlength=moments.size + 1)[:-1].cumsum().astype(np.int64)
                for before, units in zip(forgotten, known[2:], strict=True)
            )
            # Units that came too late to be counted when they entered are counted once they are resolved.
            counts.append((np.maximum(so_far[np.maximum(moments + 1 - lag, 0)], resolved), resolved, failed))
        return cls(*(np.stack(columns) for columns in zip(*counts, strict=True)))


def level_likelihood(level: float, succeeded: Ints, failed: Ints) -> Floats:
    """`GRID`'s log-likelihoods of so many successes and failures, its effects being log odds from a level's."""
    log_odds = _logit(level) + GRID.effects
    good, bad = succeeded[..., None].astype(np.float64), failed[..., None].astype(np.float64)
    likelihood: Floats = -good * np.logaddexp(0.0, -log_odds) - bad * np.logaddexp(0.0, log_odds)
    return likelihood


def _together(entries: Ints, resolved: Ints, failed: Bools, until: int) -> Ints:
    """Units that entered and were resolved in the same buckets, counted together."""
    pairs, where = np.unique(entries * (until + 1) + resolved, return_inverse=True)
    units = np.bincount(where, minlength=pairs.size)
    failures = np.bincount(where, weights=failed, minlength=pairs.size).astype(np.int64)
    return np.stack([pairs // (until + 1), pairs % (until + 1), units, failures])


def _logit(ratio: float) -> float:
    return float(np.log(ratio / (1.0 - ratio)))

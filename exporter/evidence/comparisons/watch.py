"""The floor where stable has no traffic any more, for days: evidence that forgets the healthy time before a harm.

Evidence from the promotion on never forgets. After a healthy day at twenty payments a minute it took more than two
hours until a canary with which *every* payment fails was proven below its floor. So each day is a test of its own, and
within it evidence restarts every minute: `E = E_0 / 2 + sum_k E_k / 2n`, over the `n` later minutes of the day.

Units count in order of entry, as for the floor (`floor`), and whoever is pending counts as a success. Ville's bound
covers every prefix of that order, so the largest E of all minutes so far speaks: a later prefix has more pending units
in it, and knows less of a harm than an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from exporter.evidence.comparisons.floor import GRID, level_likelihood
from exporter.evidence.grid import LN10, Floats, Ints
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.progress.trajectory import Trajectory
from exporter.evidence.rows import OutcomeRows

_MINUTE = 60.0
_DAY_MINUTES = 1440
_FROM_START = 0.5
"""Half for a harm that the day began with; each later minute has a 2,878th, which costs eight failures in a row where
nine of ten should succeed, and no more however long the day was healthy."""


_HARMFUL = np.flatnonzero(np.isfinite(GRID.log_prior_harm))


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class WatchTest:
    """The canary's floor from the moment on at which it got all traffic, buckets before `bucket` folded in; immutable.

    Attributes:
        floor: the lowest success ratio that is let pass.
        entered: units by minute of entry since that moment.
        failed: how many of them are known to have failed.
    """

    floor: float
    bucket: int = 0
    entered: Ints = field(default_factory=_none)
    failed: Ints = field(default_factory=_none)
    dispersion: float = 1.0
    """By what likelihoods are divided where units are not customers: rows of one hang together."""

    @property
    def units(self) -> tuple[int, int]:
        """Canary units folded in; stable has none."""
        return int(self.entered.sum()), 0

    def dispersed(self, factor: float) -> WatchTest:
        """The same, from now on with likelihoods divided by the over-dispersion of its units."""
        return replace(self, dispersion=factor)

    def advance(self, rows: OutcomeRows, timeline: Timeline, until: int) -> tuple[WatchTest, Trajectory]:
        """Fold the buckets up to `until`; `rows` holds at least the units that entered or were resolved in them."""
        began = timeline.judged_until
        if until <= self.bucket:
            return self, Trajectory.empty()
        if not np.isfinite(began):
            return replace(self, bucket=until), Trajectory.empty()
        ours = rows.canary & (rows.entered >= began)
        entries = timeline.bucket(rows.entered)
        known = np.maximum(timeline.bucket(rows.resolved), entries)
        new = ours & (entries >= self.bucket) & (entries < until)
        bad = ours & rows.failed & (known >= self.bucket) & (known < until)
        minute = np.maximum((rows.entered - began) // _MINUTE, 0.0).astype(np.int64)
        now = float(timeline.end_of(np.asarray([until - 1]))[0])
        most = max(1, len(self.entered), int(np.ceil((now - began) / _MINUTE)))
        entered, failed = (
            np.pad(before, (0, most - len(before))) + np.bincount(minute[chosen], minlength=most)[:most]
            for before, chosen in ((self.entered, new), (self.failed, bad))
        )
        test = replace(self, bucket=until, entered=entered, failed=failed)
        # Each day of which something became known has a moment, the present one in any case.
        days = np.unique(np.append(minute[new | bad], most - 1) // _DAY_MINUTES)
        ends = np.minimum(began + (days + 1.0) * _DAY_MINUTES * _MINUTE, now)
        return test, test.known(days, ends)

    def known(self, days: Ints, ends: Floats) -> Trajectory:
        """What is known of some days, each at its end or now."""
        counts = [self._day(day) for day in days]
        entered = np.asarray([units.sum() for units, _ in counts])
        with np.errstate(invalid="ignore", divide="ignore"):
            estimate: Floats = 1.0 - np.asarray([failed.sum() for _, failed in counts]) / entered
        return Trajectory.plain(
            time=ends,
            estimate=estimate,
            lower=np.zeros(len(days)),
            upper=np.ones(len(days)),
            log10_evidence=np.asarray([self._evidence(*one) for one in counts]),
            canary_units=entered,
            stable_units=np.zeros(len(days), dtype=np.int64),
        )

    def _day(self, day: int) -> tuple[Ints, Ints]:
        """Units and failures by minute of one day."""
        minutes = slice(day * _DAY_MINUTES, (day + 1) * _DAY_MINUTES)
        return self.entered[minutes], self.failed[minutes]

    def _evidence(self, entered: Ints, failed: Ints) -> float:
        """log10 of the largest evidence of all prefixes of a day, all its beginnings together."""
        if not failed.any():
            return 0.0
        bad = np.minimum(failed, entered)
        likelihood = level_likelihood(self.floor, entered - bad, bad) / self.dispersion
        so_far = np.cumsum(likelihood[:, _HARMFUL] - likelihood[:, [GRID.null]], axis=0)
        before = np.concatenate([np.zeros((1, so_far.shape[1])), so_far[:-1]])
        weights = np.full(len(entered), (1.0 - _FROM_START) / (_DAY_MINUTES - 1))
        weights[0] = _FROM_START
        begun = np.logaddexp.accumulate(np.log(weights)[:, None] - before, axis=0)
        ahead = np.log(np.maximum(1.0 - np.cumsum(weights), 1e-300))
        mixed = np.logaddexp.reduce(so_far + begun + GRID.log_prior_harm[_HARMFUL], axis=1)
        path = np.logaddexp(mixed, ahead)
        return float(path.max() / LN10)

"""How far rows hang together where nothing names the customer: their over-dispersion, estimated without their sides.

A customer who is declined ten times is ten rows, and where nothing says whose they are, a test takes them for ten
customers. The counts it looks at then vary more than its mathematics allows: by the over-dispersion, the variance of
sums of rows over what it would be were all rows independent (McCullagh, Nelder 1989, section 4.5). The KPI's
log-likelihoods are divided by it. That is an approximation and no e-process, so such a KPI only holds until
`canary calibrate` has measured it.

Three things tell it, and the largest counts:

* rows that share a key (each attempt by itself, of one customer, order or cart);
* sums over stretches of successive rows, of many lengths, as nobody knows how long who retries or comes back takes;
* the largest excess within ten minutes: a company or a tester of stolen cards is one clump, of as many rows.

An outage or an uneven hour looks the same, and makes the test more careful. Sides are never asked for: a canary's own
harm would pass for noise. The number begins with the hour before the start and never falls within a rollout: a buyer of
fifty orders must not become a proof because he has left. It is known as soon as the rows are, or a clump would be taken
for harm while it lasts; what rows may still come late is looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from canary.policy.kpis import Conversion, Kpi, Mean, Success
from exporter.evidence.comparisons.level import CONVERTS_SECONDS
from exporter.evidence.grid import Bools, Floats, Ints
from exporter.judge.joins import JoinedRows
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE
from exporter.source.columns.values import NO_ID

_MARK_SECONDS = 30.0
"""From how far apart moments it is kept: within less nobody is declined often."""
_LONGEST_SECONDS = 3600.0
"""What it is estimated from: an hour sees who comes back, and the day's rhythm does not weigh in it yet."""
_CLUMP_SECONDS = 600.0
"""Within so long one customer's many rows come. A level that has moved for longer may be a harm."""
_LEAST_ROWS = 20
"""Of fewer rows nothing is known but chance."""
_LEAST_STRETCHES = 6
"""The longest stretches are so few; of fewer the variance is chance itself."""
MOSTLY = 0.5
"""A shop that leaves the customer empty in some rows still has customers; in most rows, it has none to speak of."""
_CHANCE = 3.0
"""An excess of so many standard deviations is what the luckiest of many windows has by chance."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What units count for, in order of entry: 1 and 0, or values.

    Attributes:
        keys: what they share with others: a customer, an order, a cart.
        known: since when it is known what they count for, seconds since the epoch.
        named: whether it stands for a customer; otherwise it is a row by itself, and nobody knows whose.
    """

    counted: Floats
    keys: Ints
    entered: Floats
    known: Floats
    named: Bools

    def up_to(self, until: float) -> Told:
        """Those of the last hour before a moment of which it is known by then.

        They are found by their order: after a restart there is such a moment for each half minute of a rollout of days,
        and to compare all rows each time took minutes, for which nothing was judged.
        """
        first, end = np.searchsorted(self.entered, [until - _LONGEST_SECONDS, until])
        known = first + np.flatnonzero(self.known[first:end] <= until)
        return Told(self.counted[known], self.keys[known], self.entered[known], self.known[known], self.named[known])


@dataclass
class OverDispersion:
    """One KPI's, from moment to moment of a rollout; 1 until a row comes whose customer nobody knows.

    Attributes:
        currency, cap: of a mean, the currency whose values count (-1 for all), and the most that one counts.
        steps: from which moment on (seconds since the epoch) likelihoods are divided by how much.
    """

    kpi: Kpi
    started_at: float
    window_seconds: float
    lateness_seconds: float
    currency: int = -1
    cap: float = np.inf
    steps: list[tuple[float, float]] = field(default_factory=list)
    _before: float | None = None
    """That of the window before the start; None while every row names its customer."""
    _named_until: float = -np.inf
    """Rows from before this moment do, and do not change any more."""

    def look(self, joined: JoinedRows, as_of: float) -> None:
        """Look again at what may have changed, and at what has come."""
        since = self.started_at - self.window_seconds
        if self._before is None:
            if not _each_counts(self.kpi) and not nameless(self.kpi, joined, max(since, self._named_until)).any():
                self._named_until = as_of - self.lateness_seconds
                return
            self._before = self._of(self._told(joined, since, self.started_at))
        final = as_of - self.lateness_seconds
        self.steps = [step for step in self.steps if step[0] + _MARK_SECONDS <= final]
        first = self.steps[-1][0] + _MARK_SECONDS if self.steps else self.started_at
        marks = np.arange(first, as_of, _MARK_SECONDS)
        if not len(marks):  # another machine's clock says when the rollout began: it may be ahead of our rows
            return
        told = self._told(joined, max(self.started_at, first - _LONGEST_SECONDS), as_of)
        factor = self.steps[-1][1] if self.steps else self._before
        for mark in marks:  # what comes in this stretch of time is judged by all that is known at its end
            until = min(mark + _MARK_SECONDS, as_of)
            factor = max(factor, self._of(told.up_to(until)))
            self.steps.append((float(mark), factor))

    def _told(self, joined: JoinedRows, since: float, until: float) -> Told:
        return units_told(self.kpi, joined, since, until, currency=self.currency, cap=self.cap)

    def _of(self, told: Told) -> float:
        if told.named.all() and not _each_counts(self.kpi):
            return 1.0
        return over_dispersion(told.counted, told.keys, told.entered)


def over_dispersion(counted: Floats, keys: Ints, entered: Floats) -> float:
    """That of what units count for, in order of entry, each with the key that it shares with others; at least 1."""
    count = len(counted)
    if count < _LEAST_ROWS:
        return 1.0
    apart = counted - counted.mean()
    alone = float(apart @ apart)
    if alone <= 0.0:
        return 1.0
    found = [1.0]
    _, key = np.unique(keys, return_inverse=True)
    if int(key.max()) + 1 < count:
        together = np.bincount(key, weights=apart)
        found.append(float(together @ together) / alone)
    length = 2
    while count // length >= _LEAST_STRETCHES:
        sums = np.add.reduceat(apart, np.arange(0, count, length))
        found.append(float(sums @ sums) / alone)
        length *= 2
    return max(*found, 1.0 + _clump(apart, entered, alone) / alone)


def _clump(apart: Floats, entered: Floats, alone: float) -> float:
    """The largest squared excess of any window of at most ten minutes, beyond what chance may bring."""
    so_far = np.concatenate([[0.0], np.cumsum(apart)])
    variance, largest, length = alone / len(apart), 0.0, 4
    while length <= len(apart):
        brief = entered[length - 1 :] - entered[: len(entered) - length + 1] <= _CLUMP_SECONDS
        if not brief.any():
            break
        excess = np.abs(so_far[length:] - so_far[:-length])[brief].max()
        largest = max(largest, float(excess) ** 2 - _CHANCE**2 * variance * length)
        length *= 2
    return largest


def units_told(
    kpi: Kpi, joined: JoinedRows, since: float, until: float, *, currency: int = -1, cap: float = np.inf
) -> Told:
    """What the KPI's units that enter from one moment to another count for; nothing where an event is not read."""
    event = _event(kpi)
    if event not in joined.rows or (isinstance(kpi, Conversion) and kpi.to not in joined.rows):
        nothing = np.zeros(0)
        return Told(nothing, np.zeros(0, dtype=np.int64), nothing, nothing, np.zeros(0, dtype=np.bool_))
    table, unit = joined.rows[event], joined.origin(event).unit
    inside = (table.entered >= since) & (table.entered < until) & (unit != NO_ID)
    known = table.entered
    if isinstance(kpi, Conversion):
        with np.errstate(invalid="ignore"):
            counted = (joined.converted(event, kpi.to) - table.entered <= CONVERTS_SECONDS).astype(np.float64)
        known = table.entered + CONVERTS_SECONDS
    elif isinstance(kpi, Success):
        inside &= (table.outcome == FAILED_CODE) | (table.outcome == SUCCEEDED_CODE)
        counted, known = (table.outcome == FAILED_CODE).astype(np.float64), table.time
    else:
        counted = np.minimum(joined.values(kpi), cap)
        inside &= np.isfinite(counted) & ((table.currency == currency) | (currency < 0))
    rows = np.flatnonzero(inside)
    rows = rows[np.lexsort((table.ids[rows], table.entered[rows]))]
    if not isinstance(kpi, Mean) and not _each_counts(kpi):
        _, first = np.unique(unit[rows], return_index=True)  # of a key that is known the test counts the first only
        rows = rows[np.sort(first)]
    return Told(counted[rows], unit[rows], table.entered[rows], known[rows], joined.origin(event).named[rows])


def nameless(kpi: Kpi, joined: JoinedRows, since: float, until: float = np.inf) -> Bools:
    """Of the KPI's rows from one moment to another, those of which nobody knows the customer."""
    event = _event(kpi)
    if event not in joined.rows:
        return np.zeros(0, dtype=np.bool_)
    newest = joined.newest(event, since)
    counts = (newest.origin.unit != NO_ID) & (joined.rows[event].entered[newest.rows] < until)
    found: Bools = ~newest.origin.named[counts]
    return found


def mostly(which: Bools) -> bool:
    """Whether it is so of more than half of the rows, where there are enough of them to say."""
    return len(which) >= _LEAST_ROWS and float(which.mean()) > MOSTLY


def _event(kpi: Kpi) -> str:
    return kpi.from_ if isinstance(kpi, Conversion) else kpi.of


def _each_counts(kpi: Kpi) -> bool:
    return isinstance(kpi, Success) and kpi.attempts == "each"

"""The canary's floor after the promotion, when stable has no traffic any more."""

import numpy as np

from exporter.evidence.comparisons.watch import WatchTest
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import OutcomeRows

START = 1_700_000_000.0
TIMELINE = Timeline.of(START, 1.0, [(START, 1.0)])
DAY = 86_400.0


def payments(seed: int, days: float, per_minute: float, rate: float, *, breaks_at: float = np.inf) -> OutcomeRows:
    """A canary's payments since its promotion, known at once; all of them fail from some moment on."""
    rng = np.random.default_rng(seed)
    entered = np.sort(rng.uniform(START, START + days * DAY, int(days * 1440 * per_minute)))
    failed = (rng.random(len(entered)) > rate) | (entered >= START + breaks_at)
    return OutcomeRows(entered, entered, np.ones(len(entered), dtype=np.bool_), entered, failed)


def at(rows: OutcomeRows, seconds: float) -> int:
    """The bucket that is complete so many seconds after the promotion."""
    return TIMELINE.complete(START + seconds)


def test_total_failure_after_a_healthy_day_is_proven_within_minutes() -> None:
    """Twenty payments a minute: a day of health does not speak for a canary with which nobody can pay any more."""
    breaks = DAY + 3600.0
    rows = payments(1, 1.2, 20.0, 0.97, breaks_at=breaks)

    test, before = WatchTest(0.9).advance(rows, TIMELINE, at(rows, breaks))
    _, after = test.advance(rows, TIMELINE, at(rows, breaks + 120.0))

    assert before.log10_evidence.max() < 1.0
    assert after.log10_evidence[-1] > 3.0


def test_a_canary_at_its_floor_is_rarely_accused() -> None:
    """At most alpha of the days at the floor accuse the canary, however often evidence restarts."""
    accused = 0
    for seed in range(60):
        rows = payments(seed, 1.0, 2.0, 0.9)
        accused += bool((WatchTest(0.9).advance(rows, TIMELINE, at(rows, DAY))[1].log10_evidence >= 1.0).any())

    # alpha is 10 %, which allows 6 of 60; three standard deviations above it are 13.
    assert accused <= 13


def test_the_rhythm_of_looks_changes_nothing() -> None:
    """Evidence of the present day is the same, whether somebody has looked all the time or has just started."""
    rows = payments(3, 1.3, 2.0, 0.85)
    often = WatchTest(0.9)
    for hour in range(1, 31):
        often, _ = often.advance(rows, TIMELINE, at(rows, hour * 3600.0))
    until = at(rows, 1.3 * DAY)

    live, once = (test.advance(rows, TIMELINE, until)[1] for test in (often, WatchTest(0.9)))

    assert live.log10_evidence[-1] == once.log10_evidence[-1]
    assert len(once) == 2  # a moment for each day, so that a proof of yesterday is found again


def test_pending_units_do_not_hide_what_is_known() -> None:
    """A harm that was proven stays so when many new payments come whose outcome nobody knows."""
    rows = payments(4, 0.05, 20.0, 0.97, breaks_at=3600.0)
    late = rows.entered > START + 3720.0
    rows = OutcomeRows(
        rows.assigned, rows.entered, rows.canary, np.where(late, np.nan, rows.resolved), rows.failed & ~late
    )

    _, early = WatchTest(0.9).advance(rows, TIMELINE, at(rows, 3720.0))
    _, later = WatchTest(0.9).advance(rows, TIMELINE, at(rows, 4300.0))

    assert later.log10_evidence[-1] >= early.log10_evidence[-1] - 1e-9

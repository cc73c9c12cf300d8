"""A rollout's tests and how far each has come."""

import numpy as np
import pytest

from exporter.evidence.comparisons.slower import LagShape
from exporter.evidence.parameters import JudgeParameters, Kind, KpiParameters
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import EntryRows, OutcomeRows
from exporter.evidence.tracks import ENTRIES, Part, Tracks, segment_part

START, LATENESS, NOW = 1000.0, 60.0, 1300.0
NEVER = 1 << 40
KPIS = (
    KpiParameters("orders", Kind.CONVERSION, 0.1, slower_up_to=3.0),
    KpiParameters("payments", Kind.SUCCESS, 0.05, floor=0.9, pending_timeout_seconds=30.0),
)
TIMELINE = Timeline.of(START, 1.0, [(START, 0.5)])


def tracks(**parameters: float) -> Tracks:
    """The tests of a rollout of two KPIs."""
    return Tracks(JudgeParameters(START, KPIS, lateness_seconds=LATENESS, **parameters))  # type: ignore[arg-type]  # floats


def payments(seconds: float = 300.0) -> OutcomeRows:
    """A payment a second for so long, in turns on both sides, each fifth of which fails."""
    entered = START + np.arange(seconds)
    number = np.arange(len(entered))
    return OutcomeRows(entered, entered, number % 2 == 0, entered, number % 5 == 0)


def test_a_look_keeps_only_what_cannot_change_any_more() -> None:
    """A later look sees all rows again that are younger than the lateness, and gives the same for the rest."""
    ours = tracks()
    seen, units = ours.follow(("payments", Part.COMPARISON), payments(), TIMELINE, NOW, NOW)

    assert sum(units) == 300
    assert ours.oldest_bucket("orders", NEVER) == 0
    kept = ours.folded(("payments", Part.COMPARISON), None, TIMELINE, NOW)
    assert kept.time[-1] <= NOW - LATENESS < seen.time[-1]
    assert np.array_equal(seen.log10_evidence[: len(kept)], kept.log10_evidence)


def test_a_few_outcomes_are_waited_for_as_long_as_they_may_change() -> None:
    """An outcome that a second try may turn is folded only when it cannot turn any more."""
    ours = tracks(changing_seconds=200.0)
    ours.follow(("payments", Part.COMPARISON), payments(), TIMELINE, NOW, NOW)

    assert ours.folded(("payments", Part.COMPARISON), None, TIMELINE, NOW).time[-1] <= NOW - 200.0


def test_without_rows_a_test_repeats_what_it_knows() -> None:
    """A KPI whose source is away keeps what was last seen of it; rows that are back are judged anew."""
    ours, key = tracks(), ("payments", Part.FLOOR)
    seen, _ = ours.follow(key, payments(), TIMELINE, NOW, NOW)
    path, units = ours.follow(key, None, TIMELINE, NOW + 60.0, NOW + 60.0)
    again, _ = ours.follow(key, payments(250.0), TIMELINE, NOW, NOW)

    assert path is seen
    assert units == (150, 0)
    assert again.canary_units[-1] == 125


def test_a_kpi_needs_rows_since_its_slowest_test_that_has_not_ended() -> None:
    """Its floor may be behind its comparison; a test that has come to the end of comparisons needs nothing more."""
    ours = tracks()
    ours.follow(("payments", Part.COMPARISON), payments(), TIMELINE, NOW, NOW)
    comparison = int(NOW - LATENESS - START)

    assert ours.oldest_bucket("payments", NEVER) == 0
    for part in (Part.FLOOR, Part.STABLE_FLOOR, Part.WATCH, Part.WATCH_AGAIN):
        ours.follow(("payments", part), payments(), TIMELINE, NOW + 10.0, NOW + 10.0)
    assert ours.oldest_bucket("payments", NEVER) == comparison
    assert ours.oldest_bucket("payments", comparison) == comparison + 10


def test_the_rollouts_own_test_is_of_no_kpi() -> None:
    """Entries are followed next to the KPIs, whatever these are called."""
    ours = tracks()
    entered = START + np.arange(300.0)
    ours.follow(ENTRIES, EntryRows(entered, np.arange(300) % 2 == 0), TIMELINE, NOW, NOW)

    assert ours.oldest_bucket("", NEVER) == int(NOW - LATENESS - START)
    assert ours.oldest_bucket("orders", NEVER) == 0


@pytest.mark.parametrize("begun", [False, True])
def test_lags_are_known_before_the_first_look_or_not_at_all(begun: bool) -> None:
    """A test that has folded rows is not restarted, as what it has seen would be lost."""
    ours = tracks()
    before = ours.path(("orders", Part.COMPARISON))
    if begun:
        from exporter.evidence.rows import ConversionRows

        entered = START + np.arange(300.0)
        rows = ConversionRows(entered, entered, np.arange(300) % 2 == 0, entered + 1.0)
        ours.follow(("orders", Part.COMPARISON), rows, TIMELINE, NOW, NOW)
        before = ours.path(("orders", Part.COMPARISON))

    ours.know_lags(KPIS[0], LagShape.unknown())

    assert (ours.path(("orders", Part.COMPARISON)) is before) is begun


def test_a_watch_that_has_not_begun_waits_for_no_rows() -> None:
    """Before stable is without traffic only the comparisons decide which rows are needed, afterwards the watch."""
    ours = tracks()
    for part in (Part.COMPARISON, Part.FLOOR):
        ours.follow(("payments", part), payments(), TIMELINE, NOW, NOW)
    ours.folded(("payments", Part.STABLE_FLOOR), payments(), TIMELINE, NOW)

    assert ours.oldest_bucket("payments", NEVER) == NOW - LATENESS - START
    assert ours.oldest_bucket("payments", 120) == 120


def test_segments_that_do_not_exist_wait_for_no_rows() -> None:
    """A shop with fewer values than the policy looks at needs no rows for the rest."""
    by = KpiParameters("payments", Kind.SUCCESS, 0.05, segments=3)
    ours = Tracks(JudgeParameters(START, (by,), lateness_seconds=LATENESS))
    ours.know_segments("payments", 1)
    for part in (Part.COMPARISON, segment_part(0)):
        ours.follow(("payments", part), payments(), TIMELINE, NOW, NOW)

    assert ours.oldest_bucket("payments", NEVER) == NOW - LATENESS - START

"""What people read of a KPI is a change of what they see, whichever side of it is judged."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy.kpis import Conversion, Success
from exporter.evidence import judge
from exporter.evidence.judge import Action, KpiEvidence, Trajectory, Verdict
from exporter.publish.complement import Change, failed_tests, shown_change
from exporter.study.complement import shown_harm, shown_rates
from exporter.study.power import Rates

ABANDONMENT = Conversion(kind="conversion", from_="carts", to="orders", complement=True)
COMPLETION = replace(ABANDONMENT, complement=False)
PAYMENTS = Success(kind="success", of="payments")


def ended(verdict: Verdict, change: Change) -> judge.TestEvidence:
    """A test that ended with these numbers."""
    numbers = (change.estimate, change.lower, change.upper, 0.0, 2.0)
    return judge.TestEvidence(verdict, *numbers, 10, 10, None, Trajectory.empty())


def evidence(change: Change, *, comparison: Verdict = Verdict.HOLD, floor: Verdict | None = None) -> KpiEvidence:
    """A KPI's evidence whose comparison and floor ended so."""
    below = None if floor is None else ended(floor, Change(0.8, 0.7, 0.85))
    compared = ended(comparison, change)
    verdict = Verdict.FAIL if Verdict.FAIL in (comparison, floor) else Verdict.HOLD
    return KpiEvidence("kpi", verdict, Action.WARN, None, compared, below, False, None)


ratios = st.floats(0.01, 0.99)


@given(stable=ratios, canary=ratios)
def test_a_complement_shows_the_change_of_what_it_publishes(stable: float, canary: float) -> None:
    """From completion p to q, abandonment goes from 1 - p to 1 - q; its relative change is that, rises have a plus."""
    completion = Change(canary / stable - 1, canary / stable - 1, canary / stable - 1)

    shown = shown_change(ABANDONMENT, evidence(completion), 1 - stable)

    assert shown.estimate == pytest.approx(((1 - canary) - (1 - stable)) / (1 - stable), abs=1e-9)


@given(lower=st.floats(-1, 1), width=st.floats(0, 2), part=st.floats(0, 1), stable=ratios)
def test_a_band_stays_a_band(lower: float, width: float, part: float, stable: float) -> None:
    """The ends change places and the estimate stays between them; nothing falls by more than all of it."""
    band = Change(lower + part * width, lower, lower + width)

    shown = shown_change(ABANDONMENT, evidence(band), stable)

    assert -1 <= shown.lower <= max(shown.estimate, -1) + 1e-9
    assert shown.estimate <= shown.upper + 1e-9


def test_a_side_without_bound_stays_without() -> None:
    """A conversion that may have risen without limit is an abandonment that may have vanished, no more."""
    shown = shown_change(ABANDONMENT, evidence(Change(0.1, -1.0, math.inf)), 0.7)

    assert shown.lower == -1.0
    assert shown.upper == pytest.approx(3 / 7)


@pytest.mark.parametrize("kpi", [COMPLETION, PAYMENTS])
def test_other_kpis_are_shown_as_they_are_judged(kpi: Conversion | Success) -> None:
    """Only a complement is turned over."""
    change = Change(-0.1, -0.3, 0.05)

    assert shown_change(kpi, evidence(change), 0.5) == change
    assert shown_rates(kpi, Rates(5, 0.3)) == Rates(5, 0.3)
    assert shown_harm(kpi, 0.1, Rates(5, 0.3)) == 0.1


@pytest.mark.parametrize("stable", [None, 0.0, 1.0])
def test_without_stables_value_nothing_is_claimed(stable: float | None) -> None:
    """A change of an abandonment that is not known, was nought, or was that of everybody, is unknown and unbounded."""
    shown = shown_change(ABANDONMENT, evidence(Change(-0.1, -0.3, 0.05)), stable)

    assert math.isnan(shown.estimate)
    assert (shown.lower, shown.upper) == (-1.0, math.inf)


@pytest.mark.parametrize(
    ("comparison", "floor", "failed"),
    [
        (Verdict.FAIL, None, ("comparison",)),
        (Verdict.HOLD, Verdict.FAIL, ("floor",)),
        (Verdict.FAIL, Verdict.FAIL, ("comparison", "floor")),
        (Verdict.PASS, Verdict.HOLD, ()),
    ],
)
def test_the_tests_that_failed_are_named(comparison: Verdict, floor: Verdict | None, failed: tuple[str, ...]) -> None:
    """A KPI has up to two tests; those that proved harm are told apart from those that did not."""
    assert failed_tests(evidence(Change(-0.1, -0.3, 0.0), comparison=comparison, floor=floor)) == failed

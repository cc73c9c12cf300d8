"""How much of alpha may be spent by when."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exporter.evidence.exact.spending import Plan, PlannedPhase

PLAN = Plan(
    (PlannedPhase(0.05, 300.0), PlannedPhase(0.25, 900.0), PlannedPhase(0.5, 1200.0), PlannedPhase(1.0, 1800.0))
)


def clock(weights: list[tuple[float, float]], now: float) -> tuple[float, float]:
    """The planned clock at one moment."""
    over, waited = PLAN.clock(weights, np.asarray([now]))
    return float(over[0]), float(waited[0])


def spent(plan: Plan, planned: float, waited: float, *, by_information: bool) -> float:
    """What may be spent at one moment."""
    return float(plan.spent(np.asarray([planned]), np.asarray([waited]), by_information=by_information)[0])


AS_PLANNED = [(0.0, 0.05), (300.0, 0.25), (1200.0, 0.5), (2400.0, 1.0)]


def test_the_planned_clock_runs_as_long_as_each_phase_was_meant_to_last() -> None:
    """A phase that lasts longer makes it stand, and the rollout wait."""
    assert clock(AS_PLANNED, 1500.0) == (1500.0, 0.0)
    assert clock([(0.0, 0.05), (1000.0, 0.25)], 1300.0) == (600.0, 700.0)
    assert clock(AS_PLANNED, 3000.0) == (2400.0, 600.0)


def test_what_is_left_out_of_a_phase_counts_as_over() -> None:
    """Who advances after a minute, or skips a phase, is where the plan ends what was left."""
    assert clock([(0.0, 0.05), (60.0, 0.25)], 90.0) == (330.0, 0.0)
    assert clock([(0.0, 0.05), (60.0, 0.5)], 90.0) == (1230.0, 0.0)


def test_the_planned_clock_stands_while_the_weight_is_lowered() -> None:
    """It goes on where it stood when the phase's own weight is back."""
    lowered = [(0.0, 0.05), (300.0, 0.25), (400.0, 0.01), (1000.0, 0.25)]
    assert clock(lowered, 900.0) == (400.0, 500.0)
    assert clock(lowered, 1100.0) == (500.0, 600.0)


def test_waiting_spends_a_part_that_is_kept_for_it() -> None:
    """The kept part comes by halves, each after as long as the whole plan; with gates more is kept."""
    gated = Plan(PLAN.phases, gated=True)
    assert spent(PLAN, 2400.0, 0.0, by_information=False) == 0.95
    assert abs(spent(PLAN, 2400.0, 2400.0, by_information=False) - 0.975) < 1e-12
    assert abs(spent(gated, 2400.0, 2400.0, by_information=True) - 0.9) < 1e-12
    assert PLAN.alpha(0.01) == 0.01
    assert abs(Plan(PLAN.phases, when_proven=True).alpha(0.01) - 0.008) < 1e-12


changes = st.lists(
    st.tuples(st.floats(0.0, 2000.0), st.sampled_from([0.0, 0.01, 0.05, 0.25, 0.5, 1.0])), min_size=1, max_size=8
)


@given(changes, st.lists(st.floats(0.0, 20000.0), min_size=2, max_size=6), st.booleans())
def test_what_may_be_spent_never_falls_and_never_exceeds_alpha(
    steps: list[tuple[float, float]], moments: list[float], by_information: bool
) -> None:
    """Whatever is done to the weight by hand, in any order."""
    weights, at = [], 0.0
    for seconds, weight in steps:
        weights.append((at, weight))
        at += seconds
    parts = [
        spent(PLAN, *clock([one for one in weights if one[0] <= now], now), by_information=by_information)
        for now in sorted(moments)
    ]

    assert parts == sorted(parts)
    assert all(0.0 <= part <= 1.0 for part in parts)
    # Asked of all moments at once, when all is known, the clock says what it said then.
    together = PLAN.clock(weights, np.asarray(sorted(moments)))
    assert PLAN.spent(*together, by_information=by_information).tolist() == parts

"""What the judge is told before a rollout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.evidence.parameters import JudgeParameters, Kind, KpiParameters
from exporter.evidence.verdict import Action, Harm

START = 1_700_000_000.0


def test_alpha_is_split_over_the_kpis_that_may_roll_back() -> None:
    """Two KPIs that may roll back share alpha, whatever tests they have, and those that hold share among theirs."""
    parameters = JudgeParameters(
        started_at=START,
        alpha=0.01,
        kpis=(
            KpiParameters("a", Kind.CONVERSION, tolerance=0.1),
            KpiParameters("b", Kind.SUCCESS, tolerance=0.05, floor=0.9),
            KpiParameters("c", Kind.MEAN, tolerance=0.1, action=Action.HOLD),
            KpiParameters("d", Kind.MEAN, tolerance=0.1, action=Action.WARN),
            KpiParameters("e", Kind.MEAN, tolerance=0.1, action=Action.HOLD),
        ),
    )

    assert [parameters.alpha_of(kpi) for kpi in parameters.kpis] == [0.005, 0.005, 0.005, 0.01, 0.005]


@given(alpha=st.floats(1e-6, 0.5), kpis=st.lists(st.sampled_from(Action), min_size=1, max_size=8))
def test_nobodys_alpha_is_spent_twice(alpha: float, kpis: list[Action]) -> None:
    """The two halves of all KPIs with one action have alpha together, and each of them has some."""
    asked = tuple(KpiParameters(str(number), Kind.MEAN, 0.1, action=action) for number, action in enumerate(kpis))
    parameters = JudgeParameters(START, asked, alpha=alpha, exact=True)

    for action in set(kpis):
        ours = [kpi for kpi in asked if kpi.action is action]
        halves = [(parameters.alpha_of(kpi), parameters.exact_alpha_of(kpi)) for kpi in ours]
        assert sum(map(sum, halves)) == pytest.approx(alpha)
        assert all(quick > 0.0 and exact > 0.0 for quick, exact in halves)


@pytest.mark.parametrize(
    "faulty",
    [
        {"kind": Kind.CONVERSION},
        {"kind": Kind.MEAN, "floor": 0.5},
        {"kind": Kind.SUCCESS, "floor": 1.5},
        {"kind": Kind.CONVERSION, "floor": 0.5},
        {"kind": Kind.CONVERSION, "tolerance": 0.1, "harm": Harm.INCREASE},
    ],
)
def test_a_plan_that_cannot_be_judged_is_refused(faulty: dict[str, object]) -> None:
    """A KPI without tolerance and floor, or with a floor or harm that its kind cannot have, is an error."""
    with pytest.raises(ValueError, match="KPI odd"):
        KpiParameters("odd", **faulty)  # type: ignore[arg-type]  # the point is what the constructor refuses

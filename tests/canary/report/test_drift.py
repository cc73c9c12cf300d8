"""What the last releases add up to."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import PolicyError
from canary.policy import Policy, load_policy
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Drift as DriftBudget
from canary.policy.model import Evidence
from canary.report.drift import drifts
from canary.report.past import PastKpi, PastReport
from tests.support.documents.pages import DOCS, blocks_of

POLICY = Policy(service="shop", kpis=DEFAULT_KPIS, evidence=Evidence(drift=DriftBudget(releases=10)))


def release(
    expected: float, lower: float, upper: float, state: str = "finished", kpi: str = "conversion_rate"
) -> PastReport:
    """A release whose KPI changed by that much."""
    ends = (((0.0, 0.5), (60.0, end)) for end in (expected, lower, upper))
    return PastReport("shop", "one", "v1", "v2", state, kpis={kpi: PastKpi("pass", None, *ends)})


def test_small_losses_multiply() -> None:
    """Ten releases that each cost 3 % cost 26 % together, beyond the budget; older ones do not count."""
    (drift,) = drifts(POLICY, [release(0.5, 0.4, 0.6)] + [release(-0.03, -0.04, -0.02)] * 10)

    assert drift.releases == 10
    assert drift.change.expected == pytest.approx(0.97**10 - 1)
    assert drift.exceeded
    assert str(drift) == (
        "conversion rate -26.3% (-28.6% to -23.8%, releases with a band: 10, budget -10%); budget exceeded"
    )


@pytest.mark.parametrize(("upper", "exceeded"), [(0.01, True), (0.1, False)])
def test_luck_exceeds_no_budget(upper: float, exceeded: bool) -> None:
    """Ten wide bands around one estimate: beyond the budget, and only some of them beyond doubt."""
    (drift,) = drifts(POLICY, [release(-0.03, -0.1, upper)] * 10)

    assert drift.exceeded is exceeded


def test_where_more_is_worse_a_rise_spends_the_budget() -> None:
    """Abandoned carts that become more are a loss, and fewer are none."""
    (rise,) = drifts(POLICY, [release(0.05, 0.04, 0.06, kpi="cart_abandonment_rate")] * 3)
    (fall,) = drifts(POLICY, [release(-0.05, -0.06, -0.04, kpi="cart_abandonment_rate")] * 3)

    assert (rise.exceeded, fall.exceeded) == (True, False)


def test_only_what_customers_have_got_counts() -> None:
    """A release that was rolled back, and one whose band is not known, change nothing."""
    unknown = PastReport("shop", "one", "v1", "v2", "promoted", kpis={"conversion_rate": PastKpi("blind")})

    assert drifts(POLICY, [release(-0.5, -0.6, -0.4, state="rolled_back"), unknown]) == []


_CHANGE = st.floats(-2, 1e6)


@given(st.lists(st.tuples(_CHANGE, _CHANGE, _CHANGE).map(sorted), min_size=1, max_size=12))
def test_the_estimate_lies_in_its_band(bands: list[list[float]]) -> None:
    """Whatever the reports say, losses of more than all included: no change is below -100 %, and none is no number."""
    (drift,) = drifts(POLICY, [release(expected, lower, upper) for lower, expected, upper in bands])

    assert -1 <= drift.change.lower <= drift.change.expected <= drift.change.upper


def test_the_documented_budget_is_a_policys(tmp_path: Path) -> None:
    """The block of docs/release/review.md is read; a KPI that is none is refused, with the nearest that is."""
    [block] = [one for one in blocks_of(DOCS / "release" / "review.md") if one.language == "yaml"]
    path = tmp_path / "canary.yaml"
    path.write_text(f"service: shop\n{block.text}", encoding="utf-8")

    assert load_policy(path).evidence.drift == DriftBudget(releases=10, budgets={"conversion_rate": 0.05})
    path.write_text(f"service: shop\n{block.text}".replace("conversion_rate", "conversion_rat"), encoding="utf-8")
    with pytest.raises(PolicyError, match="did you mean 'conversion_rate'"):
        load_policy(path)

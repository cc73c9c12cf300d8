"""What the last releases add up to."""

import pytest

from canary.report.drift import RELEASES, drifts
from canary.report.past import PastKpi, PastReport


def release(expected: float, lower: float, upper: float, state: str = "finished") -> PastReport:
    """A release whose conversion changed by that much."""
    ends = (((0.0, 0.5), (60.0, end)) for end in (expected, lower, upper))
    return PastReport("shop", "one", "v1", "v2", state, kpis={"conversion_rate": PastKpi("pass", None, *ends)})


def test_small_losses_multiply() -> None:
    """Ten releases that each cost 3 % cost 26 % together; older ones do not count."""
    (drift,) = drifts([release(0.5, 0.4, 0.6)] + [release(-0.03, -0.04, -0.02)] * RELEASES)

    assert drift.releases == RELEASES
    assert drift.change.expected == pytest.approx(0.97**RELEASES - 1)
    assert str(drift) == "conversion rate -26.3% (-33.5% to -18.3%, releases with a band: 10)"


def test_only_what_customers_have_got_counts() -> None:
    """A release that was rolled back, and one whose band is not known, change nothing."""
    unknown = PastReport("shop", "one", "v1", "v2", "promoted", kpis={"conversion_rate": PastKpi("blind")})

    assert drifts([release(-0.5, -0.6, -0.4, state="rolled_back"), unknown]) == []


def test_a_band_below_nothing_does_not_turn_the_sign() -> None:
    """Two bands that reach below -100 % do not multiply to a gain."""
    (drift,) = drifts([release(-0.1, -1.5, 0.1)] * 2)

    assert drift.change.lower == -1

"""The shop's daily rhythm, by which stable is not held for what every evening brings."""

import pytest

from canary.policy.kpis import DEFAULT_KPIS
from exporter.judge.shop.rhythm import HourCount, Rhythm

START = 1_700_006_400.0
"""On the hour."""
HOUR, DAY = 3600.0, 86400.0
KPIS = {name: DEFAULT_KPIS[name] for name in ("conversion_rate", "payment_success_rate", "average_order_value")}


def shop(falls: dict[int, float], visits: int = 10_000, days: int = 7) -> HourCount:
    """A shop in which a tenth of all visits buys, and by the hour since the start so much less; the same each day."""

    def count(event: str, moment: float, outcome: str) -> int:
        day = round((START - moment) / DAY)
        if day > days:
            return 0
        hour = round((moment - START + day * DAY) // HOUR)
        orders = round(visits * 0.1 * (1.0 - falls.get(hour, 0.0)))
        return {"visits": visits, "orders": orders, "payments": 97 if outcome == "succeeded" else 3}[event]

    return count


def test_a_kpi_is_expected_as_low_as_it_usually_falls_by_now() -> None:
    """The level goes down with the hours that have come, and never up again."""
    rhythm = Rhythm(KPIS, shop({1: 0.1, 2: 0.3, 3: 0.0}))
    levels = [rhythm.usual_level("conversion_rate", START, START + hour * HOUR) for hour in (0.5, 1.5, 2.5)]
    assert levels == [pytest.approx(0.9), pytest.approx(0.7), pytest.approx(0.7)]


def test_the_worst_day_of_the_week_is_no_surprise() -> None:
    """One day on which conversion fell by half is enough."""

    def count(event: str, moment: float, outcome: str) -> int:
        worst = 4.9 * DAY > START - moment > 3.9 * DAY and moment - START + 5 * DAY > 0.9 * HOUR
        return shop({1: 0.5} if worst else {})(event, moment, outcome)

    assert Rhythm(KPIS, count).usual_level("conversion_rate", START, START + 60.0) == pytest.approx(0.5)


def test_a_rise_asks_for_no_more() -> None:
    """Stable is never held against more than it was before the start."""
    assert Rhythm(KPIS, shop({-1: 0.4, 0: 0.4})).usual_level("conversion_rate", START, START + 60.0) == 1.0


@pytest.mark.parametrize("count", [shop({}, days=1), shop({}, visits=50)])
def test_where_the_days_before_say_nothing_the_steepest_usual_fall_is_let_pass(count: HourCount) -> None:
    """Too few days, or too few units an hour; payments have no rhythm to speak of."""
    rhythm = Rhythm(KPIS, count)
    assert rhythm.usual_level("conversion_rate", START, START + 60.0) == pytest.approx(0.7)
    assert rhythm.usual_level("conversion_rate", START, START + 30 * HOUR) == pytest.approx(0.4)
    assert rhythm.usual_level("payment_success_rate", START, START + 60.0) == 1.0


def test_hours_that_are_half_counted_are_not_held_against_anybody() -> None:
    """After a start, visits are counted before orders are: until all are, nothing is known, and nothing remembered."""
    whole, since = shop({1: 0.1}), list[float]()

    def count(event: str, moment: float, outcome: str) -> int:
        return whole(event, moment, outcome) if since or event == "visits" or moment > START - 3 * DAY else 0

    def counted(moment: float) -> bool:
        return bool(since) and since[0] <= moment

    rhythm = Rhythm(KPIS, count, counted)
    assert rhythm.usual_level("conversion_rate", START, START + 60.0) == pytest.approx(0.7)
    since.append(START - 7 * DAY)
    assert rhythm.usual_level("conversion_rate", START, START + 60.0) == pytest.approx(0.7), "an hour before is needed"
    since[0] -= HOUR
    assert rhythm.usual_level("conversion_rate", START, START + 60.0) == pytest.approx(0.9)


def test_a_rollout_of_days_is_no_day_before_itself() -> None:
    """A harm since the start is not what is usual, however long the rollout takes."""

    def count(event: str, moment: float, outcome: str) -> int:
        return shop({0: 0.5} if moment >= START else {})(event, moment, outcome)

    rhythm = Rhythm(KPIS, count)
    levels = [rhythm.usual_level("conversion_rate", START, START + hour * HOUR) for hour in (22.5, 23.5, 24.5, 60.0)]
    assert levels == [1.0] * 4

"""What a minute of going on costs."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from alertmanager.receiver.decide.pricewatch import PriceWatch
from canary import names
from canary.errors import RemoteError
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Policy
from canary.prometheus import Series
from canary.rollout.plan.plans import Plans
from tests.support.receiving.deciding import Deciding

POLICY = Policy(service="shop", kpis=DEFAULT_KPIS)
UNITS = {"v1.0": 1000.0, "v2.0": 1000.0}
TURNOVER = {"v1.0": 5000.0, "v2.0": 4000.0}
CHANGE = {names.KPI_RELATIVE_CHANGE: -0.2, names.KPI_RELATIVE_CHANGE_LOWER: -0.3, names.KPI_RELATIVE_CHANGE_UPPER: 0.1}


class Answers:
    """A Prometheus with one conversion that fell by a fifth, and orders that are worth what they were."""

    down = False

    async def query_range(self, expression: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        """The last value of each series."""
        del start, step_seconds
        if self.down:
            raise RemoteError("no answer", place="prometheus")

        def series(labels: dict[str, str], value: float) -> Series:
            return Series(labels, [(end.timestamp(), value)])

        if names.ORDER_VALUE_TOTAL in expression:
            return [series({"currency": "EUR", "version": name}, value) for name, value in TURNOVER.items()]
        if "increase" in expression:
            return [series({"version": name}, value) for name, value in UNITS.items()]
        change = next(value for name, value in CHANGE.items() if f"{name}{{" in expression)
        flat: Sequence[tuple[str, float]] = (("conversion_rate", change), ("average_order_value", 0.0))
        return [series({"kpi": name}, value) for name, value in flat]


async def test_a_fall_costs_its_share_of_what_the_canarys_customers_would_bring() -> None:
    """It is said for the present weight, with its band, and what going back does."""
    async with Deciding.about(POLICY) as deciding:
        answers = Answers()
        watch = PriceWatch(Plans(POLICY), deciding.store, answers, deciding.clock)
        await watch.step()
        assert watch.of(deciding.rollout) == ()  # nobody has come in yet

        await deciding.passes(100)
        await watch.step()
        (price,) = watch.of(deciding.rollout)
        # 2000 customers in 100 s bring 5 EUR each on stable; the canary has its first phase's share of them.
        minute = 2000 * 5 * 60 / 100 * deciding.rollout.weight
        assert price.per_minute.expected == pytest.approx(0.2 * minute, rel=0.05)
        assert price.per_minute.lower == pytest.approx(-0.1 * minute, rel=0.05)
        assert price.per_minute.upper == pytest.approx(0.3 * minute, rel=0.05)
        assert "going back saves as much" in price.price

        answers.down = True
        await watch.step()
        assert watch.of(deciding.rollout) == ()

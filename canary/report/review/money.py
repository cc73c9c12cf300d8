"""What the canary's customers cost or brought, in the shop's currency.

An order's worth times the chance that a visitor orders is what one visitor brings. Both are KPIs that are compared with
stable, each with a band that holds at any time; so what a visitor on the canary brings against one on stable lies
between the product of the lower ends and that of the upper ends, whenever both bands hold. Directly compared turnover
would be simpler and say nothing: a few large orders decide it.

Revenue is what the shop has written down as orders. Where it writes an order before its payment, a failed payment is
not in it.
"""

from dataclasses import dataclass

from canary import names
from canary.policy import Policy
from canary.policy.kpis import Conversion, Mean
from canary.report.review.asking import Asking, Points, matchers
from canary.rollout.state import Rollout
from canary.units import format_ratio


@dataclass(frozen=True)
class Band:
    """An expected value and the ends of its band; negative where the canary brought more."""

    expected: float
    lower: float
    upper: float

    def times(self, factor: float) -> "Band":
        """The same for *factor* (not negative) as much."""
        return Band(self.expected * factor, self.lower * factor, self.upper * factor)


@dataclass(frozen=True)
class Money:
    """What it came to.

    Attributes:
        turnover: what the canary's customers ordered for.
        lost: what they would have ordered for on stable besides.
        per_minute: the same for one minute of going on, as many customers as came in the rollout's mean minute, with
            the weight that it had last. Going back costs the opposite.
        weight: that weight.
    """

    currency: str
    turnover: float
    lost: Band
    per_minute: Band
    weight: float

    @property
    def price(self) -> str:
        """What a minute of going on costs, for people who must choose."""
        loss = self.per_minute
        going, back = ("costs", "saves") if loss.expected > 0 else ("brings", "gives up")
        return (
            f"a minute of going on at {format_ratio(self.weight)} {going} {abs(loss.expected):,.2f} {self.currency} "
            f"(loss between {loss.lower:+,.2f} and {loss.upper:+,.2f}), going back {back} as much"
        )


@dataclass(frozen=True)
class Compared:
    """A KPI's last change against stable and its band."""

    change: float
    lower: float
    upper: float


def revenue_kpis(policy: Policy) -> tuple[str, str] | None:
    """The KPIs that turnover is made of: who orders, and for how much; None where the shop's money is not known."""
    event = policy.database.events.get("orders")
    if event is None or event.currency is None:
        return None
    conversions = [
        name
        for name, kpi in policy.kpis.items()
        if isinstance(kpi, Conversion) and kpi.to == "orders" and not kpi.complement
    ]
    values = [
        name for name, kpi in policy.kpis.items() if isinstance(kpi, Mean) and kpi.of == "orders" and kpi.since is None
    ]
    return (conversions[0], values[0]) if conversions and values else None


def per_visitor(who: Compared, much: Compared) -> Band:
    """How much less a visitor brings than on stable, as a share of what one brings there."""
    return Band(
        1 - (1 + who.change) * (1 + much.change),
        1 - (1 + max(-1.0, who.upper)) * (1 + max(-1.0, much.upper)),
        1 - (1 + max(-1.0, who.lower)) * (1 + max(-1.0, much.lower)),
    )


async def money(
    policy: Policy, rollout: Rollout, asking: Asking, changes: dict[str, Compared], weight: float
) -> list[Money]:
    """What it came to, by currency, and a minute of it at *weight*; empty where a KPI or the turnover is not known.

    Raises:
        RemoteError: Prometheus does not answer.
    """
    kpis = revenue_kpis(policy)
    if kpis is None or not set(kpis) <= set(changes):
        return []
    conversion = policy.kpis[kpis[0]]
    assert isinstance(conversion, Conversion)
    less = per_visitor(changes[kpis[0]], changes[kpis[1]])
    units = await _by_version(asking, policy, names.event_total(conversion.from_))
    found = []
    for currency, sums in (await _turnover(asking, policy)).items():
        stable_units, canary_units = units.get(rollout.stable, 0.0), units.get(rollout.canary, 0.0)
        if not stable_units or not canary_units:
            continue
        each = sums.get(rollout.stable, 0.0) / stable_units
        minutes = (asking.until - asking.since).total_seconds() / 60
        found.append(
            Money(
                currency=currency,
                turnover=sums.get(rollout.canary, 0.0),
                lost=less.times(each * canary_units),
                per_minute=less.times(each * (stable_units + canary_units) / minutes * weight),
                weight=weight,
            )
        )
    return found


async def _by_version(asking: Asking, policy: Policy, metric: str) -> dict[str, float]:
    own = matchers(f'{names.SERVICE}="{policy.service}"')
    found = await asking.at_the_end(f"sum by ({names.VERSION}) (increase({metric}{own}[{asking.window}]))")
    return {labels.get(names.VERSION, ""): value for labels, value in found}


async def _turnover(asking: Asking, policy: Policy) -> dict[str, dict[str, float]]:
    """By currency and version."""
    own = matchers(f'{names.SERVICE}="{policy.service}"')
    by = f"sum by ({names.CURRENCY}, {names.VERSION})"
    sums: dict[str, dict[str, float]] = {}
    for labels, value in await asking.at_the_end(f"{by} (increase({names.ORDER_VALUE_TOTAL}{own}[{asking.window}]))"):
        sums.setdefault(labels.get(names.CURRENCY, ""), {})[labels.get(names.VERSION, "")] = value
    return sums


def last_weight(share: Points) -> float:
    """The last weight that was not nothing."""
    return next((ratio for _, ratio in reversed(share) if ratio > 0), 0.0)

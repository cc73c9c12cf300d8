"""Canaries that harm: what is to be found, and how soon; and harm within the tolerance, which is not to be."""

from __future__ import annotations

from collections.abc import Callable

from bench.detection.shops.checkout import checkout, settle, shop
from bench.detection.shops.customers import Draft
from bench.detection.shops.shop import START
from bench.detection.shops.situations import Situation, with_failed
from canary.policy.model import Slower


def late_harm(minute: float, harm: float, lag_minutes: float = 0.0) -> Callable[[Draft, float], object]:
    """Payments of the canary, made so long after the visit on average, fail more from a minute on."""

    def write(draft: Draft, rate: float) -> None:
        paid = checkout(draft, rate, lag_minutes=lag_minutes)
        worse = paid.canary & (paid.times >= START + 60.0 * minute) & (draft.rng.random(len(paid.times)) < harm)
        settle(draft, with_failed(paid, paid.failed | worse), success=1.0)

    return write


def lost_orders(harm: float, lag_minutes: float = 6.0, conversion: float = 0.03) -> Callable[[Draft, float], object]:
    """A share of the canary's orders (or of whatever a visit becomes) does not come."""
    return lambda draft, rate: shop(
        draft, rate, conversion=conversion, lag_minutes=lag_minutes,
        lost=lambda times: draft.rng.random(len(times)) < harm,
    )  # fmt: skip


HARMFUL = (
    *(
        (rate, Situation("payments fail more", f"{harm:.0%} from the start", late_harm(0.0, harm)))
        for rate, harm in ((2.0, 0.2), (2.0, 0.5), (20.0, 0.05), (20.0, 0.1), (200.0, 0.1), (200.0, 0.2))
    ),
    *(
        (
            200.0,
            Situation("paid half a minute after the visit", f"{harm:.0%} from the start", late_harm(0.0, harm, 0.5)),
        )
        for harm in (0.1, 0.2)
    ),
    *(
        (2000.0, Situation("payments fail more", f"20% from minute {minute:g}", late_harm(minute, 0.2)))
        for minute in (19.0, 35.0)
    ),
    *(
        (rate, Situation("orders lost, 3 % convert, 6 min", name, lost_orders(harm), payments=False, policy=policy))
        for rate, harm in ((200.0, 0.5), (2000.0, 0.2))
        for name, policy in (
            (f"{harm:.0%}, `slower` as shipped", ()),
            (f"{harm:.0%}, `slower: none`", (("slower", "none"),)),
            (f"{harm:.0%}, `slower: {{up_to: 2}}`", (("slower", Slower(up_to=2.0)),)),
        )
    ),
    (200.0, Situation("carts not begun, 20 % begin one, 2 min", "50%", lost_orders(0.5, 2.0, 0.2), payments=False)),
    *(
        (2000.0, Situation("within the tolerance", f"{harm:.1%} of payments, of 5%", late_harm(0.0, harm)))
        for harm in (0.025, 0.04)
    ),
    *(
        (
            2000.0,
            Situation("within the tolerance", f"{harm:.0%} of orders, of 10%", lost_orders(harm), payments=False),
        )
        for harm in (0.05, 0.08)
    ),
)
"""Each with its rate."""

"""Customers who come once, some of whom order and pay: the ordinary trade in which every situation happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.detection.shops.customers import BEGAN, END, Draft
from exporter.evidence.grid import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Payments:
    """The shop's ordinary payments, customer by customer."""

    customers: Ints
    orders: Ints
    times: Floats
    canary: Bools
    failed: Bools


def shop(
    draft: Draft,
    visits_per_minute: float,
    *,
    conversion: float = 0.03,
    lag_minutes: float = 6.0,
    slower: float = 1.0,
    lost: Callable[[Floats], Bools] | None = None,
    pay: bool = True,
) -> Payments:
    """Customers who come once, a share of whom orders, from an hour before the start on.

    Args:
        slower: the canary's orders come later by this factor.
        lost: which of the canary's orders, by the time of the visit, do not come.
    """
    rng = draft.rng
    count = rng.poisson(visits_per_minute * (END - BEGAN) / 60.0)
    times = np.sort(rng.uniform(BEGAN, END, count))
    customers = draft.customers(count)
    visits = draft.visits(customers, times)
    canary = draft.on_canary(customers, times)
    lag = rng.exponential(max(lag_minutes, 1e-3) * 60.0, count) * np.where(canary, slower, 1.0)
    buys = rng.random(count) < conversion
    if lost is not None:
        buys &= ~(canary & lost(times))
    orders = draft.orders(customers[buys], visits[buys], (times + lag)[buys])
    paid = (times + lag)[buys] + 1.0
    found = Payments(customers[buys], orders, paid, canary[buys], rng.random(len(orders)) < 0.03)
    if pay:
        settle(draft, found)
    return found


def settle(draft: Draft, paid: Payments, decline: float = 2.0, success: float | Floats = 60.0) -> None:
    """Write the payments, refusals known after *decline* seconds on average, successes after *success*."""
    wait = draft.rng.exponential(1.0, len(paid.times)) * np.where(paid.failed, decline, success)
    draft.payments(paid.customers, paid.orders, paid.times, paid.failed, paid.times + wait)


def checkout(draft: Draft, per_minute: float, lag_minutes: float = 0.5, **shop_of: Any) -> Payments:
    """A shop with so many payments a minute, so long after the visit on average, not written yet."""
    return shop(draft, 2.0 * per_minute, conversion=0.5, lag_minutes=lag_minutes, pay=False, **shop_of)

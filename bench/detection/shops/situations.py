"""What real shops do to a judge: situations in which nothing is wrong with the canary, or nothing but what is said.

Each writes a rollout's rows, and must not be rolled back more often than alpha.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.detection.shops.checkout import Payments, checkout, settle, shop
from bench.detection.shops.customers import BEGAN, END, NOWHERE, SIDES, WEIGHTS, Draft
from bench.detection.shops.shop import START
from exporter.evidence.grid import Bools, Floats
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE


@dataclass(frozen=True)
class Situation:
    """One line of the table.

    Attributes:
        group: what it is an example of.
        name: in words.
        write: draws its rows into a draft, for so many visits or payments a minute.
        payments: the rate counts payments, not visits.
        policy: evidence keys that differ from the default policy.
    """

    group: str
    name: str
    write: Callable[[Draft, float], object]
    payments: bool = True
    policy: tuple[tuple[str, Any], ...] = ()


def with_failed(found: Payments, failed: Bools) -> Payments:
    """The same payments, of which others fail."""
    return Payments(found.customers, found.orders, found.times, found.canary, failed)


def _plain(draft: Draft, rate: float) -> None:
    settle(draft, checkout(draft, rate))


def _outage(minutes: float) -> Callable[[Draft, float], object]:
    def write(draft: Draft, rate: float) -> None:
        paid = checkout(draft, rate)
        begins = START + draft.rng.uniform(60.0, 2000.0)
        down = (paid.times >= begins) & (paid.times < begins + 60.0 * minutes)
        settle(draft, with_failed(paid, paid.failed | (down & (draft.rng.random(len(down)) < 0.9))))

    return write


def _retries(draft: Draft, rate: float) -> None:
    paid = checkout(draft, rate)
    settle(draft, paid)
    again = np.flatnonzero(paid.failed & (draft.rng.random(len(paid.failed)) < 0.5))
    again = np.repeat(again, draft.rng.integers(1, 6, len(again)))
    later = paid.times[again] + draft.rng.exponential(60.0, len(again))
    refused = np.ones(len(again), dtype=np.bool_)
    settle(draft, Payments(paid.customers[again], paid.orders[again], later, paid.canary[again], refused))


def _outage_with_retries(draft: Draft, rate: float) -> None:
    paid = checkout(draft, rate)
    begins = START + draft.rng.uniform(60.0, 2000.0)
    down = (paid.times >= begins) & (paid.times < begins + 300.0)
    settle(draft, with_failed(paid, paid.failed | down))
    again = np.repeat(np.flatnonzero(down), 4)
    later = paid.times[again] + draft.rng.exponential(40.0, len(again))
    settle(
        draft, Payments(paid.customers[again], paid.orders[again], later, paid.canary[again], np.ones(len(again), bool))
    )


def _heavy(customers: int, attempts: int, minutes: float, refused: float) -> Callable[[Draft, float], object]:
    """A few customers with many attempts: a company whose card is declined, a tester of stolen cards."""

    def write(draft: Draft, rate: float) -> None:
        settle(draft, checkout(draft, rate))
        rng, who = draft.rng, draft.customers(customers)
        begins = START + rng.uniform(0.0, 2400.0 - 60.0 * minutes)
        many = max(attempts, int(0.1 * rate * minutes)) // customers
        each = np.repeat(who, many)
        times = np.sort(begins + rng.uniform(0.0, 60.0 * minutes, len(each)))
        visits = draft.visits(who, np.full(customers, begins - 5.0))
        orders = draft.orders(each, np.repeat(visits, many), times)
        failed = rng.random(len(each)) < refused
        settle(draft, Payments(each, orders, times + 1.0, draft.on_canary(each, times), failed))

    return write


def _duplicates(draft: Draft, rate: float) -> None:
    paid = checkout(draft, rate)
    settle(draft, paid)
    twice = np.flatnonzero(draft.rng.random(len(paid.times)) < 0.1)
    twice = np.repeat(twice, draft.rng.integers(1, 5, len(twice)))
    settle(
        draft, Payments(*(getattr(paid, name)[twice] for name in ("customers", "orders", "times", "canary", "failed")))
    )


def _stored_cards(draft: Draft, rate: float) -> None:
    """One version's worker charges subscriptions of old orders; 15 % are refused, and nobody visits for them."""
    settle(draft, checkout(draft, rate))
    rng = draft.rng
    count = max(100, int(rate * 5))
    who = draft.customers(count)
    times = START + rng.uniform(300.0, 900.0, count)
    old = draft.orders(who, np.full(count, 1 << 40), np.full(count, START - 86400.0))
    outcome = np.where(rng.random(count) < 0.15, 2, 1)
    version = np.full(count, SIDES[1])
    draft.add("payments", who, times, parent=old, outcome=outcome, settled=times + 1.0, version=version)


def _nobodys_cards(draft: Draft, rate: float) -> None:
    """Orders are written once they are paid, so that a declined payment names nothing; one tester has many of them."""
    paid = checkout(draft, rate)
    tester = draft.customers(1)
    times = np.sort(START + draft.rng.uniform(0.0, 2100.0) + draft.rng.uniform(0.0, 300.0, max(30, int(0.5 * rate))))
    draft.visits(tester, times[:1] - 5.0)
    wait = draft.rng.exponential(1.0, len(paid.times)) * np.where(paid.failed, 2.0, 60.0)
    parent = np.where(paid.failed, NOWHERE, paid.orders)
    outcome = np.where(paid.failed, FAILED_CODE, SUCCEEDED_CODE)
    draft.add("payments", paid.customers, paid.times, parent=parent, outcome=outcome, settled=paid.times + wait)
    refused = np.full(len(times), FAILED_CODE)
    draft.add("payments", np.repeat(tester, len(times)), times, outcome=refused, settled=times + 1.0)


def _testers(draft: Draft, rate: float) -> None:
    """The shop's own people try ten refused cards on the canary, to which a header takes them."""
    settle(draft, checkout(draft, rate))
    who, version = draft.customers(1), np.full(10, SIDES[1])
    times = START + 20.0 + 20.0 * np.arange(10.0)
    visit = draft.add("visits", who, times[:1] - 5.0, version=version[:1])
    order = draft.add("orders", np.repeat(who, 10), times, parent=np.repeat(visit, 10), version=version)
    draft.add(
        "payments",
        np.repeat(who, 10),
        times,
        parent=order,
        outcome=np.full(10, 2),
        settled=times + 1.0,
        version=version,
    )


def _wallets(draft: Draft, rate: float) -> None:
    settle(draft, checkout(draft, rate), decline=1.0, success=150.0)


def _known_later(draft: Draft, rate: float) -> None:
    paid = checkout(draft, rate)
    settle(draft, paid, success=np.where(paid.canary, 90.0, 60.0))


def _authorised(draft: Draft, rate: float) -> None:
    """Three payments in ten are authorised, and captured when the parcel leaves: `pending: [authorised]` reads none."""
    paid = checkout(draft, rate)
    captured = draft.rng.random(len(paid.times)) >= 0.3
    names = ("customers", "orders", "times", "canary", "failed")
    settle(draft, Payments(*(getattr(paid, name)[captured] for name in names)))


def _buyers(customers: int, orders: int) -> Callable[[Draft, float], object]:
    def write(draft: Draft, rate: float) -> None:
        shop(draft, rate)
        rng, who = draft.rng, draft.customers(customers)
        each = np.repeat(who, orders)
        times = START + rng.uniform(30.0, 2300.0, len(each))
        visits = draft.visits(each, times)
        draft.orders(each, visits, times + 20.0)

    return write


def _crawler(share: float, minutes: float) -> Callable[[Draft, float], object]:
    def write(draft: Draft, rate: float) -> None:
        shop(draft, rate)
        begins = START + draft.rng.uniform(0.0, 2400.0 - 60.0 * minutes)
        times = begins + draft.rng.uniform(0.0, 60.0 * minutes, draft.rng.poisson(share * rate * minutes))
        draft.visits(np.repeat(draft.customers(1), len(times)), times)

    return write


def _health_check(draft: Draft, rate: float) -> None:
    shop(draft, rate)
    times = np.arange(START + 5.0, END, 5.0)
    draft.add("visits", np.repeat(draft.customers(1), len(times)), times, version=np.full(len(times), SIDES[1]))


def _more_visits(draft: Draft, rate: float) -> None:
    """An eighth more visits that never buy, on the canary: mail scanners that follow the new version's links."""
    shop(draft, rate)
    share = np.asarray([share for _, share in WEIGHTS])
    times = draft.rng.uniform(START, END, draft.rng.poisson(0.13 * rate * 40.0))
    at = np.searchsorted([start for start, _ in WEIGHTS], times, side="right") - 1
    times = times[draft.rng.random(len(times)) < share[at]]
    draft.add("visits", draft.customers(len(times)), times, version=np.full(len(times), SIDES[1]))


def _slower(factor: float) -> Callable[[Draft, float], object]:
    return lambda draft, rate: shop(draft, rate, slower=factor)


def _cold(draft: Draft, rate: float) -> None:
    """Half of the orders of the first three minutes of each phase are lost."""
    starts = np.asarray([start for start, _ in WEIGHTS])

    def lost(times: Floats) -> Bools:
        since = times - starts[np.searchsorted(starts, times, side="right") - 1]
        gone: Bools = (since < 180.0) & (draft.rng.random(len(times)) < 0.5)
        return gone

    shop(draft, rate, lost=lost)


def _returning(draft: Draft, rate: float) -> None:
    """Customers with five visits each."""
    rng = draft.rng
    who = draft.customers(max(1, int(rate * 100.0 / 5.0)))
    each = np.repeat(who, 5)
    times = rng.uniform(BEGAN, END, len(each))
    visits = draft.visits(each, times)
    buys = rng.random(len(each)) < 0.03
    draft.orders(each[buys], visits[buys], times[buys] + rng.exponential(360.0, int(buys.sum())))


SOUND = (
    Situation("independent customers", "payments", _plain),
    Situation("independent customers", "conversion", shop, payments=False),
    Situation("A1 both fail alike", "provider down for 2 minutes", _outage(2.0)),
    Situation("A1 both fail alike", "provider down for 10 minutes", _outage(10.0)),
    Situation("A1 both fail alike", "down for 5 minutes, everybody tries four times", _outage_with_retries),
    Situation("A2 rows hang together", "half of the failed retry, up to five times", _retries),
    Situation("A2 rows hang together", "a company, 50 declined payments", _heavy(1, 50, 10.0, 1.0)),
    Situation("A2 rows hang together", "a tenth written two to five times", _duplicates),
    Situation("A2 rows hang together", "stolen cards tested from one address", _heavy(1, 30, 5.0, 0.95)),
    Situation("A2 rows hang together", "stolen cards tested from 20 addresses", _heavy(20, 60, 5.0, 0.95)),
    Situation("A2 rows hang together", "the same, declined payments belong to no order and nobody", _nobodys_cards),
    Situation("A2 rows hang together", "a batch of stored cards by one version's worker", _stored_cards),
    Situation("A2 rows hang together", "ten refused cards of the shop's testers", _testers),
    Situation("A2 rows hang together", "one buyer with 50 orders", _buyers(1, 50), payments=False),
    Situation("A2 rows hang together", "five buyers with ten orders", _buyers(5, 10), payments=False),
    Situation("A2 rows hang together", "a crawler, a tenth of all visits", _crawler(0.1, 40.0), payments=False),
    Situation("A2 rows hang together", "a crawler, as many visits for 5 minutes", _crawler(1.0, 5.0), payments=False),
    Situation("A2 rows hang together", "a health check every 5 s on the canary", _health_check, payments=False),
    Situation("A2 rows hang together", "five visits a customer", _returning, payments=False),
    Situation("A3 more visits", "13 % more on the canary, which never buy", _more_visits, payments=False),
    Situation("A4 quick refusals", "known after 1 s, successes after 150 s", _wallets),
    Situation("A5 slower", "orders x1.3 later, all of them come", _slower(1.3), payments=False),
    Situation("A5 slower", "successes known after 90 s instead of 60 s", _known_later),
    Situation(
        "A6 cold caches", "half of the orders lost for 3 minutes, `warmup: 3m`", _cold, payments=False,
        policy=(("warmup", 180.0),),
    ),
    Situation("A7 pending is two things", "30 % authorised for hours, `pending: [authorised]`", _authorised),
)  # fmt: skip

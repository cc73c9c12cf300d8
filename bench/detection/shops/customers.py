"""A shop with customers, written as the rows that the exporter reads: what they do hangs together, as in real shops.

The detection table's shop draws every unit by itself. Real customers retry, buy for companies, test stolen cards, crawl
and come back; `situations` does that with what is here. The rows then take the product's own way: joined, reduced to
customers, judged by both halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.detection.shops.shop import PHASES, START
from canary.policy.database.section import DEFAULT_EVENTS
from canary.routers.bucket import nginx_order
from exporter.evidence.grid import Bools, Floats, Ints
from exporter.judge.joins import JoinedRows
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Codes, EventRows
from exporter.source.columns.values import NO_ID
from exporter.source.mapping import parents_of

BEGAN = START - 3600.0
"""The hour before the rollout: what the judge knows of the shop, as how late orders come."""
END = START + 60.0 * sum(minutes for minutes, _ in PHASES)
WEIGHTS = [
    (float(START + 60.0 * start), share)
    for start, (_, share) in zip(np.cumsum([0.0, *(minutes for minutes, _ in PHASES[:-1])]), PHASES, strict=True)
]
STABLE, CANARY = "v1", "v2"
VERSIONS = Codes()
SIDES = (VERSIONS.code(STABLE), VERSIONS.code(CANARY))
NOWHERE = -1
"""The parent or the version of a row that does not say."""

Column = npt.NDArray[Any]


@dataclass
class Draft:
    """Rows of a shop's events, as they come to be; a customer is a number, and rows are positions.

    Attributes:
        nginx: customers are drawn by the order of a hundred buckets, not each by itself.
    """

    rng: np.random.Generator
    nginx: bool = False
    _luck: list[Floats] = field(default_factory=list)
    _rows: dict[str, list[Mapping[str, Column]]] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)

    def customers(self, count: int) -> Ints:
        """So many new ones, each with a place at the router."""
        first = sum(len(luck) for luck in self._luck)
        if self.nginx:
            self._luck.append(np.asarray((self._rank[self.rng.integers(0, 100, count)] + 0.5) / 100.0))
        else:
            self._luck.append(self.rng.random(count))
        return np.arange(first, first + count)

    def on_canary(self, customers: Ints, times: Floats) -> Bools:
        """Whether each of *customers* meets the canary at each of *times*."""
        shares = np.asarray([share for _, share in WEIGHTS])
        at = np.searchsorted([start for start, _ in WEIGHTS], times, side="right") - 1
        place: Floats = np.concatenate(self._luck)[customers]
        found: Bools = place < np.where(at >= 0, shares[np.maximum(at, 0)], 0.0)
        return found

    def add(self, event: str, customers: Ints, times: Floats, **columns: Column) -> Ints:
        """Rows of *event*; gives their positions.

        *columns* may be parent, value, outcome, settled, version, segment, and for a second parent the name of its
        event.
        """
        first = self._count.get(event, 0)
        self._count[event] = first + len(times)
        self._rows.setdefault(event, []).append({"customer": customers, "time": times, **columns})
        return np.arange(first, first + len(times))

    def visits(self, customers: Ints, times: Floats) -> Ints:
        """Customers come in."""
        return self.add("visits", customers, times)

    def orders(self, customers: Ints, visits: Ints, times: Floats, values: Floats | None = None) -> Ints:
        """Visits become orders."""
        worth = values if values is not None else self.rng.lognormal(4.0, 0.8, len(times))
        return self.add("orders", customers, times, parent=visits, value=worth)

    def payments(
        self, customers: Ints, orders: Ints, times: Floats, failed: Bools, settled: Floats, **columns: Column
    ) -> Ints:
        """Attempts to pay, of which the outcome is known at *settled*; infinity while it is not."""
        outcome = np.where(np.isinf(settled), 0, np.where(failed, FAILED_CODE, SUCCEEDED_CODE))
        return self.add("payments", customers, times, parent=orders, outcome=outcome, settled=settled, **columns)

    def joined(self) -> JoinedRows:
        """All rows, as the exporter holds them."""
        events = {"visits", "orders", "payments"} | self._rows.keys()
        return JoinedRows(DEFAULT_EVENTS, {name: self._table(name) for name in events})

    def _table(self, event: str) -> EventRows:
        parts = self._rows.get(event, [])
        parents = parents_of(DEFAULT_EVENTS, event)
        if not parts:
            return EventRows.empty(len(parents))

        def column(name: str, absent: float) -> Column:
            return np.concatenate([part.get(name, np.full(len(part["time"]), absent)) for part in parts])

        customer, entered = column("customer", 0).astype(np.int64), column("time", 0.0)
        count = len(entered)
        outcome = column("outcome", 0).astype(np.int64)
        settled = column("settled", np.nan)
        time = np.where(np.isfinite(settled), settled, entered)
        version = column("version", NOWHERE).astype(np.int64)
        drawn = np.where(self.on_canary(customer, entered), SIDES[1], SIDES[0])
        named = np.full((len(parents), count), NO_ID, dtype=np.int64)
        for number, (parent, _) in enumerate(parents):
            position = column(parent if number else "parent", NOWHERE).astype(np.int64)
            named[number] = np.where(position >= 0, position + 1, NO_ID)
        ints = np.zeros(count, dtype=np.int64)
        table = EventRows(
            bucket=ints, ids=np.arange(1, count + 1), time=time, entered=entered,
            version=np.where(version >= 0, version, drawn), currency=ints, outcome=outcome,
            value=column("value", np.nan), variant=ints, segment=column("segment", 0).astype(np.int64),
            parents=named,
            unit=customer + 1 if event == "visits" else np.full(count, NO_ID, dtype=np.int64),
        )  # fmt: skip
        return table.where(entered <= END)

    @cached_property
    def _rank(self) -> Ints:
        """By bucket of nginx, how many are opened before it."""
        return np.argsort(nginx_order(int(self.rng.integers(0, 1 << 32))))

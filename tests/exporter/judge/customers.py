"""Customers' visits and payments as rows in memory, for tests of what is judged of them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Policy
from canary.rollout.state import Rollout, State, Weight
from exporter.judge.joins import JoinedRows
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Codes, EventRows, Floats, Ints
from exporter.source.columns.values import NO_ID

START = 1_700_000_000.0
PHASES = ((300.0, 0.05), (900.0, 0.25), (1200.0, 0.5))
STARTS = [START, START + 300.0, START + 1200.0]
END = START + 2400.0
POLICY = Policy(service="shop", kpis={name: DEFAULT_KPIS[name] for name in ("conversion_rate", "payment_success_rate")})
VERSIONS = Codes()
STABLE, CANARY = VERSIONS.code("v1"), VERSIONS.code("v2")


def rollout(name: str = "r1", until: float = END) -> Rollout:
    """One of 5 %, 25 % and 50 %, as it stands at *until*."""
    begun = [start for start in STARTS if start <= until]
    moments = [datetime.fromtimestamp(start, UTC) for start in begun]
    return Rollout(
        id=name, stable="v1", canary="v2", state=State.PHASE, phase=len(begun) - 1,
        traffic=tuple(share for _, share in PHASES), durations_seconds=tuple(seconds for seconds, _ in PHASES),
        started_at=moments[0], phase_started_at=moments[-1],
        weights=tuple(Weight(moment, share) for moment, (_, share) in zip(moments, PHASES, strict=False)),
    )  # fmt: skip


def shop(seed: int, customers: int = 600, harm: float = 0.0) -> dict[str, EventRows]:
    """Customers with two visits and orders each, at any time; three payments in a hundred fail, more on the canary."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(1, customers + 1), 2)
    place = np.repeat(rng.random(customers), 2)
    times = rng.uniform(START, END, len(who))
    share = np.asarray([share for _, share in PHASES])[np.searchsorted(STARTS, times, side="right") - 1]
    canary = place < share
    failed = rng.random(len(who)) < np.where(canary, 0.03 + harm, 0.03)
    paid = times + 20.0
    version = np.where(canary, CANARY, STABLE)
    ids = np.arange(1, len(who) + 1) + seed * 1_000_000
    return {
        "visits": _rows(ids, times, times, version, unit=who + seed * 1_000_000),
        "orders": _rows(ids, times + 15.0, times + 15.0, version, parents=(ids, ids * 0 + NO_ID, ids * 0 + NO_ID)),
        "payments": _rows(
            ids, paid + rng.exponential(20.0, len(who)), paid, version, parents=(ids,),
            outcome=np.where(failed, FAILED_CODE, SUCCEEDED_CODE),
        ),
    }  # fmt: skip


def known_at(rows: dict[str, EventRows], now: float) -> JoinedRows:
    """What the exporter would hold of them at *now*: of a payment that is not settled, that it is pending."""
    tables = {}
    for event, whole in rows.items():
        table = whole.where(whole.entered <= now)
        settled = table.time <= now
        tables[event] = EventRows(
            **{name: getattr(table, name) for name in EventRows.__dataclass_fields__}
            | {"outcome": np.where(settled, table.outcome, 0), "time": np.where(settled, table.time, table.entered)}
        )
    return JoinedRows(DEFAULT_EVENTS, tables)


def _rows(
    ids: Ints, times: Floats, entered: Floats, version: Ints, *, parents: tuple[Ints, ...] = (),
    unit: Ints | None = None, outcome: Ints | None = None,
) -> EventRows:  # fmt: skip
    none = np.zeros(len(ids), dtype=np.int64)
    return EventRows(
        bucket=none, ids=ids, time=times, entered=entered, version=version, currency=none, variant=none, segment=none,
        outcome=none if outcome is None else outcome, value=np.full(len(ids), 10.0),
        unit=none + NO_ID if unit is None else unit,
        parents=np.stack(parents) if parents else np.zeros((0, len(ids)), dtype=np.int64),
    )  # fmt: skip

"""Customers as units: each counts once per rollout and KPI, where the rollout met them first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.kpis import Conversion, Kpi, Mean, Success
from exporter.evidence.comparisons.outcome import with_timeout
from exporter.evidence.judge import ConversionRows, MeanRows, OutcomeRows
from exporter.evidence.progress.timeline import Timeline
from exporter.evidence.rows import Rows
from exporter.judge.joins import JoinedRows
from exporter.judge.kpi_units import KpiUnits, units_of
from exporter.judge.units import Entries, Look
from exporter.ledger.rows import FAILED_CODE, PENDING_CODE, SUCCEEDED_CODE, EventRows
from exporter.source.columns.values import NO_ID

STABLE, CANARY = 0, 1
TIMELINE = Timeline.of(0.0, 1.0, [(0.0, 0.5)])
CONVERSION = Conversion(kind="conversion", from_="visits", to="orders")
PAYMENTS = Success(kind="success", of="payments")
VALUE = Mean(kind="mean", of="orders")


def _table(rows: Sequence[Mapping[str, float]], parents: int = 0) -> EventRows:
    """Rows with `at`, and `version`, `unit`, `parent`, `outcome`, `settled`, `value` where they have them."""

    def column(name: str, otherwise: float, kind: type = np.int64) -> NDArray[Any]:
        return np.asarray([row.get(name, otherwise) for row in rows], dtype=kind)

    at = column("at", 0.0, float)
    known = np.asarray([row.get("settled", row["at"]) for row in rows], dtype=float)
    return EventRows(
        bucket=np.zeros(len(rows), dtype=np.int64),
        ids=np.asarray([row.get("id", number) for number, row in enumerate(rows)], dtype=np.int64),
        time=known,
        entered=at,
        version=column("version", STABLE),
        currency=np.zeros(len(rows), dtype=np.int64),
        outcome=column("outcome", 0),
        value=column("value", np.nan, float),
        variant=np.zeros(len(rows), dtype=np.int64),
        segment=column("segment", 0),
        unit=column("unit", NO_ID),
        parents=np.stack([column("parent", NO_ID)] * parents) if parents else np.zeros((0, len(rows)), dtype=np.int64),
    )


def _look(entries: Entries, tables: Mapping[str, EventRows], timeline: Timeline = TIMELINE) -> Look:
    joined = JoinedRows(DEFAULT_EVENTS, tables)
    entries.look(joined, "visits", (STABLE, CANARY), timeline)
    return Look(joined, entries, "visits", (STABLE, CANARY), timeline)


def _rows(kpi: Kpi, **tables: EventRows) -> Rows:
    return units_of(kpi).look(_look(Entries(), tables))


def test_a_customer_counts_once_on_the_side_of_the_first_entry() -> None:
    """Visits of one customer are one unit, on the first one's side, also when a later one is on the other."""
    visits = _table([{"at": 1, "unit": 7, "version": STABLE}, {"at": 5, "unit": 7, "version": CANARY}])
    orders = _table([{"at": 6, "version": CANARY, "parent": 1}], 3)

    found = _rows(CONVERSION, visits=visits, orders=orders)

    assert isinstance(found, ConversionRows)
    assert (found.entered.tolist(), found.canary.tolist(), found.converted.tolist()) == ([1.0], [False], [6.0])


def test_a_company_with_fifty_orders_converts_once() -> None:
    """The first order after the entry is the conversion; one before it is none."""
    visits = _table([{"at": 10 + number, "unit": 3} for number in range(50)])
    orders = _table([{"at": 5, "unit": 3}, *({"at": 20 + number, "parent": number} for number in range(50))], 3)

    found = _rows(CONVERSION, visits=visits, orders=orders)

    assert isinstance(found, ConversionRows)
    assert found.converted.tolist() == [20.0]


@pytest.mark.parametrize(("behind", "units"), [(0.0, 4), (60.0, 4), (7200.0, 0)])
def test_a_table_whose_clock_is_behind_loses_nobody_who_is_quick(behind: float, units: int) -> None:
    """An order from a minute before its own visit came with it, whenever one looks; two hours are a wrong zone."""
    entered = [10_000.0 + 100.0 * number for number in range(4)]
    visits = _table([{"at": at, "unit": number} for number, at in enumerate(entered)])
    orders = _table([{"at": at + 5.0 - behind, "parent": number} for number, at in enumerate(entered)], 3)
    entries, live = Entries(), units_of(CONVERSION)

    once = units_of(CONVERSION).look(_look(Entries(), {"visits": visits, "orders": orders}))
    converted = set()
    for now in np.arange(10_000.0, 10_500.0, 10.0):
        known = visits.where(visits.entered <= now), orders.where(orders.entered <= now - behind)
        seen = live.look(_look(entries, {"visits": known[0], "orders": known[1]}))
        assert isinstance(seen, ConversionRows)
        converted |= {*seen.converted[np.isfinite(seen.converted)].tolist()}
        entries.fold(now - 20.0)
        live.fold(now - 20.0)

    assert isinstance(once, ConversionRows)
    assert np.isfinite(once.converted).sum() == len(converted) == units


def test_the_first_attempt_counts_and_its_customer_is_assigned_with_the_entry() -> None:
    """Of a customer's payments the first in time is judged, also where a later one is known sooner."""
    visits = _table([{"at": 1, "unit": 3, "version": CANARY}])
    payments = _table(
        [
            {"at": 30, "unit": 3, "outcome": FAILED_CODE, "settled": 90},
            {"at": 40, "unit": 3, "outcome": SUCCEEDED_CODE, "settled": 41},
        ],
        1,
    )

    found = _rows(PAYMENTS, visits=visits, payments=payments)

    assert isinstance(found, OutcomeRows)
    assert (found.assigned.tolist(), found.entered.tolist()) == ([1.0], [30.0])
    assert (found.resolved.tolist(), found.failed.tolist()) == ([90.0], [True])


@pytest.mark.parametrize(("attempts", "failed"), [("first", [True]), ("last", [False]), ("each", [True, False])])
def test_the_policy_says_which_attempt_counts(attempts: str, failed: list[bool]) -> None:
    """A retry that succeeds: failed by the first attempt, succeeded by the last, one of each by each."""
    visits = _table([{"at": 1, "unit": 3, "version": CANARY}])
    payments = _table(
        [{"at": 30, "unit": 3, "outcome": FAILED_CODE}, {"at": 40, "unit": 3, "outcome": SUCCEEDED_CODE}], 1
    )
    kpi = Success(kind="success", of="payments", attempts=attempts)  # type: ignore[arg-type]  # one of the three

    found = _rows(kpi, visits=visits, payments=payments)

    assert isinstance(found, OutcomeRows)
    assert (found.failed.tolist(), found.canary.tolist()) == (failed, [True] * len(failed))


@pytest.mark.parametrize("attempts", ["first", "last", "each"])
def test_an_attempt_that_may_wait_is_known_and_open(attempts: str) -> None:
    """An authorised payment has a customer before anybody knows how it ends: its failure comes hours later."""
    visits = _table([{"at": 1, "unit": 3, "version": CANARY}])
    kpi = Success(kind="success", of="payments", attempts=attempts)  # type: ignore[arg-type]  # one of the three
    waiting = _table([{"at": 30, "unit": 3, "outcome": PENDING_CODE}], 1)
    refused = _table([{"at": 30, "settled": 9000, "unit": 3, "outcome": FAILED_CODE}], 1)
    nothing = waiting.where(waiting.entered > 1e9)
    entries, units = Entries(), units_of(kpi, timeout_seconds=900.0)

    seen = []
    for payments in (waiting, nothing, refused):  # between two streams it is in neither
        seen.append(units.look(_look(entries, {"visits": visits, "payments": payments})))
        entries.fold(8000.0)
        units.fold(8000.0)

    assert all(isinstance(rows, OutcomeRows) for rows in seen)
    assert [(rows.resolved.tolist(), rows.failed.tolist()) for rows in seen if isinstance(rows, OutcomeRows)] == [
        ([np.inf], [False]),
        ([np.inf], [False]),
        ([9000.0], [True]),
    ]


@pytest.mark.parametrize("outcome", [FAILED_CODE, SUCCEEDED_CODE])
def test_what_has_failed_by_the_time_out_counts_no_second_time(outcome: int) -> None:
    """An outcome that nobody named is a failure in time, and stays that, whatever it turns into hours later."""
    visits = _table([{"at": 1, "unit": 3, "version": CANARY}])
    unknown, ended = _table([{"at": 30, "unit": 3}], 1), {"at": 30, "settled": 9000, "unit": 3, "outcome": outcome}
    entries, units = Entries(), units_of(PAYMENTS, timeout_seconds=900.0)

    seen = []
    for payments in (unknown, _table([ended], 1)):
        rows = units.look(_look(entries, {"visits": visits, "payments": payments}))
        assert isinstance(rows, OutcomeRows)
        seen.append(with_timeout(rows, 900.0, may_wait=True))
        entries.fold(8000.0)
        units.fold(8000.0)

    assert [(rows.resolved.tolist(), rows.failed.tolist()) for rows in seen] == [([930.0], [True])] * 2


def test_a_success_from_before_its_own_visit_is_the_customers_last_word() -> None:
    """With a clock a minute behind, those of a rollout's first minutes have paid all the same."""
    visits, orders = _table([{"at": 10, "unit": 3}]), _table([{"at": 12, "parent": 0}], 3)
    payments = _table([{"at": -30, "parent": 0, "outcome": SUCCEEDED_CODE}], 1)
    kpi = Success(kind="success", of="payments", attempts="last")

    found = _rows(kpi, visits=visits, orders=orders, payments=payments)

    assert isinstance(found, OutcomeRows)
    assert (found.entered.tolist(), found.resolved.tolist(), found.failed.tolist()) == ([10.0], [10.0], [False])


@pytest.mark.parametrize("outcome", [FAILED_CODE, SUCCEEDED_CODE])
def test_where_another_way_to_pay_was_chosen_that_one_counts(outcome: int) -> None:
    """An attempt that is void, and need not come to anything, hides nothing of the customer's next one."""
    visits = _table([{"at": 1, "unit": 3, "version": CANARY}])
    void, next_ = {"at": 30, "unit": 3, "outcome": PENDING_CODE}, {"at": 50, "unit": 3, "outcome": outcome}

    found = _rows(PAYMENTS, visits=visits, payments=_table([void, next_], 1))

    assert isinstance(found, OutcomeRows)
    assert (found.entered.tolist(), found.resolved.tolist()) == ([30.0], [50.0])
    assert found.failed.tolist() == [outcome == FAILED_CODE]


def test_who_has_no_entry_is_no_unit_but_a_row_that_names_nobody_is_one() -> None:
    """A batch of known customers' cards has no entry; a failed payment without order or customer counts by itself."""
    visits = _table([{"at": 1, "unit": 3}])
    payments = _table(
        [{"at": 5, "unit": 99, "outcome": FAILED_CODE}, {"at": 6, "version": CANARY, "outcome": FAILED_CODE}], 1
    )

    found = _rows(PAYMENTS, visits=visits, payments=payments)

    assert isinstance(found, OutcomeRows)
    assert (found.assigned.tolist(), found.canary.tolist()) == ([6.0], [True])


def test_two_orders_from_before_their_visit_are_two_values() -> None:
    """Both are of the visit's moment, and the customer's mean is that of both."""
    visits = _table([{"at": 10, "unit": 3}])
    early = [{"id": 5, "at": -20, "parent": 0, "value": 10.0}, {"id": 4, "at": -10, "parent": 0, "value": 20.0}]

    found = _rows(VALUE, visits=visits, orders=_table(early, 3))

    assert isinstance(found, MeanRows)
    assert found.value.tolist() == [20.0, 15.0]  # of one moment now, in the order of their ids
    assert found.observed.tolist() == [10.0, 10.0]


def test_a_customers_mean_moves_with_each_value() -> None:
    """The second order of a customer changes the customer's mean, and counts as no other unit."""
    visits = _table([{"at": 1, "unit": 3}])
    orders = _table([{"at": 5, "parent": 0, "value": 10.0}, {"at": 8, "parent": 0, "value": 30.0}], 3)

    found = _rows(VALUE, visits=visits, orders=orders)

    assert isinstance(found, MeanRows)
    assert found.value.tolist() == [10.0, 20.0]
    assert np.isnan(found.previous[0])
    assert (found.previous[1], found.entered.tolist()) == (10.0, [5.0, 5.0])


def test_in_the_watch_a_customer_counts_once_an_hour() -> None:
    """Without stable's traffic the canary's customers count anew each hour."""
    timeline = Timeline.of(0.0, 1.0, [(0.0, 0.5), (100.0, 1.0)])
    visits = _table([{"at": at, "unit": 3, "version": CANARY} for at in (150, 160, 150 + 3600)])
    orders = _table([{"at": 170, "parent": 1}], 3)
    kpi = Conversion(kind="conversion", from_="visits", to="orders", floor=0.1)

    found = units_of(kpi).look(_look(Entries(), {"visits": visits, "orders": orders}, timeline))

    assert isinstance(found, ConversionRows)
    assert sorted(found.entered.tolist()) == [150.0, 3750.0]
    assert sorted(found.converted[~np.isnan(found.converted)].tolist()) == [170.0]


_EVENTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 200), st.sampled_from(["visit", "order", "pay"])),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@example([(0, 0, 0, "visit"), (0, 0, 1, "order"), (1, 0, 0, "visit")], [21], Random(0))  # two who came at once
@given(_EVENTS, st.lists(st.integers(1, 220), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_looking_often_and_looking_once_find_the_same_units(
    events: list[tuple[int, int, int, str]],
    moments: list[int],
    random: Random,
) -> None:
    """Whatever is folded between looks, and in whatever order rows are held, the units are those of one look."""
    numbered = list(enumerate(events))
    random.shuffle(numbered)

    def tables(until: float) -> dict[str, EventRows]:
        def of(kind: str, parents: int) -> EventRows:
            rows: list[Mapping[str, float]] = [
                {
                    "id": number, "at": at, "unit": unit, "version": version, "value": float(number),
                    "outcome": FAILED_CODE if number % 3 == 0 else SUCCEEDED_CODE,
                }
                for number, (unit, version, at, event) in numbered
                if event == kind and at < until
            ]  # fmt: skip
            return _table(rows, parents)

        return {"visits": of("visit", 0), "orders": of("order", 3), "payments": of("pay", 1)}

    for kpi in (CONVERSION, PAYMENTS, VALUE):
        often, entries = units_of(kpi), Entries()
        seen: dict[tuple[float, ...], tuple[float, ...]] = {}
        for moment in [*sorted(moments), 300]:
            _told(often, _look(entries, tables(moment)), seen)
            often.fold(moment - 20.0)
            entries.fold(moment - 20.0)
        once: dict[tuple[float, ...], tuple[float, ...]] = {}
        _told(units_of(kpi), _look(Entries(), tables(300)), once)

        assert seen == once


def _told(units: KpiUnits, look: Look, into: dict[tuple[float, ...], tuple[float, ...]]) -> None:
    """Add the rows by their customer and what else identifies them; later looks replace what earlier ones said."""
    rows = units.look(look)
    keys: list[NDArray[Any]]
    news: list[NDArray[Any]]
    if isinstance(rows, ConversionRows):
        keys, news = [rows.entered, rows.canary], [np.nan_to_num(rows.converted, nan=-1.0)]
    elif isinstance(rows, OutcomeRows):
        keys, news = [rows.entered, rows.canary], [rows.resolved, rows.failed]
    else:
        keys, news = [rows.observed, rows.canary, rows.value], [rows.entered, np.nan_to_num(rows.previous, nan=-1.0)]
    into.update(zip(zip(units.keys, rows.assigned, *keys, strict=True), zip(*news, strict=True), strict=True))

"""The published KPIs: each version's units of the window, counted and divided."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.kpis import Conversion, Kpi, Mean, Success
from exporter.judge.joins import JoinedRows
from exporter.judge.values import KpiValue, window_values
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, EventRows
from exporter.source.columns.values import NO_ID

COMPLETION = Conversion(kind="conversion", from_="carts", to="orders")
PAYMENTS = Success(kind="success", of="payments")
VALUE = Mean(kind="mean", of="orders")
VERSIONS = ["v1", "v2"]


CURRENCIES = ["EUR", "USD", *(f"C{number}" for number in range(98))]
MAX_CURRENCIES = 3


def _table(
    times: Sequence[float],
    *,
    version: Sequence[int],
    parents: Sequence[Sequence[int]] = (),
    outcome: Sequence[int] | None = None,
    value: Sequence[float] | None = None,
    currency: Sequence[int] | None = None,
) -> EventRows:
    size, at = len(times), np.asarray(times, dtype=np.float64)
    nothing = np.zeros(size, dtype=np.int64)
    return EventRows(
        bucket=nothing,
        ids=np.arange(size, dtype=np.int64),
        time=at,
        entered=at,
        version=np.asarray(version, dtype=np.int64),
        currency=nothing if currency is None else np.asarray(currency, dtype=np.int64),
        outcome=nothing if outcome is None else np.asarray(outcome, dtype=np.int64),
        value=np.full(size, np.nan) if value is None else np.asarray(value, dtype=np.float64),
        variant=nothing,
        segment=nothing,
        unit=np.full(size, NO_ID, dtype=np.int64),
        parents=np.asarray(parents, dtype=np.int64).reshape(len(parents), size),
    )


def _values(kpi: Kpi, since: float = 0.0, until: float = 100.0, **tables: EventRows) -> list[KpiValue]:
    joined = JoinedRows(DEFAULT_EVENTS, tables)
    found = window_values(
        {"kpi": kpi}, joined, VERSIONS, CURRENCIES, since=since, until=until, max_currencies=MAX_CURRENCIES
    )
    return list(found)


@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=30))
def test_a_rate_and_its_complement_are_one(carts: list[tuple[int, bool]]) -> None:
    """Completion is converted carts over carts, by version; abandonment is the rest of one."""
    units = _table([50.0] * len(carts), version=[version for version, _ in carts], parents=[[NO_ID] * len(carts)])
    ordered = [number for number, (_, converted) in enumerate(carts) if converted]
    versions = [carts[number][0] for number in ordered]
    nobody = [NO_ID] * len(ordered)
    orders = _table([60.0] * len(ordered), version=versions, parents=[nobody, ordered, nobody])

    completed = _values(COMPLETION, carts=units, orders=orders)
    abandoned = _values(replace(COMPLETION, complement=True), carts=units, orders=orders)

    for one, other in zip(completed, abandoned, strict=True):
        of_version = [converted for version, converted in carts if VERSIONS[version] == one.version]
        assert one.value == pytest.approx(sum(of_version) / len(of_version))
        assert one.value + other.value == pytest.approx(1.0)
        assert one.units == len(of_version)


def test_a_version_without_units_has_no_value() -> None:
    """Nobody on the canary is not a rate of nought."""
    found = _values(PAYMENTS, payments=_table([50.0], version=[0], outcome=[SUCCEEDED_CODE], parents=[[NO_ID]]))

    assert [(value.version, value.value) for value in found] == [("v1", 1.0)]


def test_pending_is_neither_success_nor_failure() -> None:
    """A payment that has not settled waits outside the rate."""
    outcomes = [SUCCEEDED_CODE, FAILED_CODE, 0, SUCCEEDED_CODE]

    (found,) = _values(PAYMENTS, payments=_table([50.0] * 4, version=[0] * 4, outcome=outcomes, parents=[[NO_ID] * 4]))

    assert found.value == pytest.approx(2 / 3)
    assert found.units == 3


def test_only_the_window_counts() -> None:
    """Rows before the window and after its end are not in the KPI; its edges are."""
    times = [9.9, 10.0, 20.0, 20.1]

    (found,) = _values(
        PAYMENTS, 10.0, 20.0, payments=_table(times, version=[0] * 4, outcome=[1] * 4, parents=[[NO_ID] * 4])
    )

    assert found.units == 2


def test_currencies_have_no_common_mean() -> None:
    """Euros and dollars are averaged apart; rows without a value in none."""
    orders = _table(
        [50.0] * 4, version=[0] * 4, value=[10.0, 20.0, 100.0, np.nan], currency=[0, 0, 1, 1], parents=[[NO_ID] * 4] * 3
    )

    found = {value.currency: (value.value, value.units) for value in _values(VALUE, orders=orders)}

    assert found == {"EUR": (15.0, 2), "USD": (100.0, 1)}


def test_only_the_usual_currencies_have_means() -> None:
    """However many currencies there are, the most frequent ones have a series each, and the others none."""
    currency = [*range(100), 1, 99, 99, 42]
    size = len(currency)
    nobody = [[NO_ID] * size] * 3
    orders = _table([50.0] * size, version=[0] * size, value=[1.0] * size, currency=currency, parents=nobody)

    assert [(one.currency, one.units) for one in _values(VALUE, orders=orders)] == [("USD", 2), ("C40", 2), ("C97", 3)]


def test_what_is_never_joined_is_unknown() -> None:
    """Orders that name carts, of which none is found, say that the names differ, not that no cart became an order."""
    carts = _table([50.0] * 3, version=[0] * 3, parents=[[NO_ID] * 3])
    orders = _table([60.0] * 2, version=[0] * 2, parents=[[NO_ID] * 2, [77, 88], [NO_ID] * 2])
    joined = JoinedRows(DEFAULT_EVENTS, {"carts": carts, "orders": orders})

    assert joined.unjoined("carts", "orders")
    assert _values(COMPLETION, carts=carts, orders=orders) == []


def test_no_children_is_a_rate_of_nought() -> None:
    """Carts of which nobody ordered anything are known to have converted to nothing."""
    carts = _table([50.0] * 3, version=[0] * 3, parents=[[NO_ID] * 3])
    orders = _table([], version=[], parents=[[], [], []])

    assert [value.value for value in _values(COMPLETION, carts=carts, orders=orders)] == [0.0]


def test_what_was_joined_once_may_be_apart_for_a_while() -> None:
    """Once a cart was found, orders of older carts alone are no reason for doubt."""
    carts = _table([50.0] * 3, version=[0] * 3, parents=[[NO_ID] * 3])
    nobody = [NO_ID] * 2
    known: set[tuple[str, str]] = set()
    for named, unjoined in (([77, 88], True), ([0, 88], False), ([77, 88], False)):
        orders = _table([60.0] * 2, version=[0] * 2, parents=[nobody, named, nobody])

        assert (
            JoinedRows(DEFAULT_EVENTS, {"carts": carts, "orders": orders}, known).unjoined("carts", "orders")
            is unjoined
        )


@pytest.mark.parametrize("kpi", [COMPLETION, PAYMENTS, VALUE])
def test_without_its_events_a_kpi_is_absent(kpi: Kpi) -> None:
    """What could not be read is left out, never zero."""
    assert _values(kpi) == []

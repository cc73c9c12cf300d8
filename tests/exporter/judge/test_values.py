"""The published KPIs: each version's units of the window, counted and divided."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.policy.orders import DEFAULT_EVENTS
from exporter.judge.joins import JoinedRows
from exporter.judge.values import KpiValue, window_values
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, EventRows
from exporter.source.values import NO_ID

COMPLETION = Conversion(kind="conversion", from_="carts", to="orders")
PAYMENTS = Success(kind="success", of="payments")
VALUE = Mean(kind="mean", of="orders")
VERSIONS = ["v1", "v2"]


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
        parents=np.asarray(parents, dtype=np.int64).reshape(len(parents), size),
    )


def _values(kpi: Kpi, since: float = 0.0, until: float = 100.0, **tables: EventRows) -> list[KpiValue]:
    found = window_values(
        {"kpi": kpi}, JoinedRows(DEFAULT_EVENTS, tables), VERSIONS, ["EUR", "USD"], since=since, until=until
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


@pytest.mark.parametrize("kpi", [COMPLETION, PAYMENTS, VALUE])
def test_without_its_events_a_kpi_is_absent(kpi: Kpi) -> None:
    """What could not be read is left out, never zero."""
    assert _values(kpi) == []

"""The published counters: never down, bounded in number, at zero before the first row."""

from hypothesis import given
from hypothesis import strategies as st

from canary.policy.database.section import DEFAULT_EVENTS
from exporter.ledger.ledger import MILLION, Key, Tally
from exporter.publish.counters import MAX_VERSIONS, Counters, Series, in_units, kept_versions

_VISITS, _ORDERS, _PAYMENTS = (DEFAULT_EVENTS[event] for event in ("visits", "orders", "payments"))


def _totals(**versions: int) -> dict[Key, Tally]:
    return {Key(version, "", ""): Tally(rows, 0) for version, rows in versions.items()}


@given(history=st.lists(st.integers(0, 100), min_size=1))
def test_a_counter_follows_its_total_upwards_only(history: list[int]) -> None:
    """Whatever the totals do, the counter is the highest of them so far."""
    counters = Counters(10)
    series = Series("shop_visits_total", "v1", "")
    highest = 0
    for rows in history:
        counters.follow("visits", _VISITS, _totals(v1=rows) if rows else {}, {"v1"})
        highest = max(highest, rows)

        assert counters.values.get(series, 0) == highest


def test_waiting_is_counted_once_for_every_fall() -> None:
    """A correction is counted when rows vanish, not at every look while the counter waits."""
    counters = Counters(10)
    for rows in (10, 7, 7, 7, 8, 6, 12):
        counters.follow("visits", _VISITS, _totals(v1=rows), {"v1"})

    assert counters.corrections == {"visits": 2}
    assert counters.values[Series("shop_visits_total", "v1", "")] == 12


def test_versions_that_are_not_kept_go_to_other() -> None:
    """A version without a series of its own is counted as `other`, and its old series goes."""
    counters = Counters(10)
    counters.follow("visits", _VISITS, _totals(v1=5, v2=3), {"v1", "v2"})
    counters.follow("visits", _VISITS, _totals(v1=5, v2=3, v3=1), {"v2", "v3"})

    assert {series.version: rows for series, rows in counters.values.items()} == {"other": 5, "v2": 3, "v3": 1}


def test_a_version_whose_rows_are_all_gone_keeps_its_series() -> None:
    """Its counter stands still, for one that went away and came back with the next row would fall."""
    assert kept_versions([], None, {"v1", "other"}) == {"v1"}


def test_versions_are_bounded() -> None:
    """A shop that writes a new version at each release has no more series for it."""
    assert len(kept_versions([], None, {f"v{number}" for number in range(30)})) == MAX_VERSIONS


def test_currencies_are_bounded() -> None:
    """Further currencies than the policy allows are summed as `other`."""
    counters = Counters(2)
    totals = {Key("v1", currency, ""): Tally(1, 5 * MILLION) for currency in ("EUR", "USD", "JPY", "CHF")}
    counters.follow("orders", _ORDERS, totals, {"v1"})
    values = {
        series.label: in_units(series, amount)
        for series, amount in counters.values.items()
        if series.metric == "shop_order_value_total"
    }

    assert values == {"EUR": 5.0, "USD": 5.0, "other": 10.0}


def test_a_rollouts_versions_start_at_zero() -> None:
    """Both versions have every series before their first row, with the currencies and outcomes that are known."""
    counters = Counters(10)
    counters.follow("orders", _ORDERS, {Key("v1", "EUR", ""): Tally(2, 30 * MILLION)}, {"v1"})
    for event, mapping in (("orders", _ORDERS), ("payments", _PAYMENTS)):
        counters.start(event, mapping, ("v1", "v2"))

    assert counters.values == {
        Series("shop_orders_total", "v1", ""): 2,
        Series("shop_order_value_total", "v1", "EUR"): 30 * MILLION,
        Series("shop_orders_total", "v2", ""): 0,
        Series("shop_order_value_total", "v2", "EUR"): 0,
        Series("shop_payments_total", "v1", "succeeded"): 0,
        Series("shop_payments_total", "v1", "failed"): 0,
        Series("shop_payments_total", "v2", "succeeded"): 0,
        Series("shop_payments_total", "v2", "failed"): 0,
    }

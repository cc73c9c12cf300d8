"""Joins in memory: where rows come from, and what has converted."""

import numpy as np

from canary.policy.database.section import DEFAULT_EVENTS, Event
from exporter.judge.joins import JoinedRows, merged
from exporter.ledger.rows import FAILED_CODE, SUCCEEDED_CODE, Codes, EventRows
from exporter.source.mapping import ordered, parents_of

_VERSIONS = Codes()


def _table(*rows: tuple[int, float, str, tuple[int | None, ...]], outcome: str | None = None) -> EventRows:
    """Rows of (id, time, version, parents)."""
    parents = len(rows[0][3]) if rows else 0
    full = [
        (0, number, time, time, version, None, outcome, None, None, None, None, *above)
        for number, time, version, above in rows
    ]
    return EventRows.of(full, parents, _VERSIONS, Codes())


def _orders(**tables: EventRows) -> JoinedRows:
    return JoinedRows(DEFAULT_EVENTS, tables)


def test_rows_descend_from_their_visit() -> None:
    """An order's origin is its visit, also over its cart; feedback's is its order's visit."""
    orders = _orders(
        visits=_table((1, 10.0, "v1", ()), (2, 11.0, "v2", ())),
        carts=_table((1, 20.0, "v1", (1,)), (2, 21.0, "v2", (2,))),
        orders=_table((1, 30.0, "v2", (1, 1, 1)), (2, 31.0, "v2", (None, 2, None))),
        feedback=_table((1, 40.0, "v9", (2,))),
    )

    assert orders.origin("orders").assigned.tolist() == [10.0, 11.0]
    assert [_VERSIONS.texts[code] for code in orders.origin("orders").version] == ["v1", "v2"]
    assert orders.origin("feedback").assigned.tolist() == [11.0]


def test_a_visit_that_is_not_held_is_older_than_everything() -> None:
    """A parent that is named but unknown came in before the rows that are held; no parent at all means its own time."""
    orders = _orders(visits=_table((1, 10.0, "v1", ())), carts=_table((1, 20.0, "v1", (99,)), (2, 21.0, "v1", (None,))))

    assert orders.origin("carts").assigned.tolist() == [-np.inf, 21.0]


def test_a_unit_converts_once_at_its_first_conversion() -> None:
    """Of several orders of one visit the first counts; a visit without an order has not converted."""
    orders = _orders(
        visits=_table((1, 10.0, "v1", ()), (2, 11.0, "v1", ())),
        orders=_table((1, 35.0, "v1", (1, None, None)), (2, 30.0, "v1", (1, None, None))),
    )

    assert orders.converted("visits", "orders").tolist()[0] == 30.0
    assert np.isnan(orders.converted("visits", "orders")[1])


def test_a_payment_counts_where_it_is_most_settled() -> None:
    """A row that was pending and is settled now appears once, settled."""
    settled = _table((1, 12.0, "v1", ()), outcome="failed")
    unsettled = _table((2, 5.0, "v1", ()), outcome="succeeded")
    pending = _table((1, 5.0, "v1", ()), (2, 5.0, "v1", ()), (3, 5.0, "v1", ()))

    table = merged(settled, unsettled, pending)

    assert table.ids.tolist() == [1, 2, 3]
    assert table.outcome.tolist() == [FAILED_CODE, SUCCEEDED_CODE, 0]


def test_parents_are_read_before_their_children() -> None:
    """Events are ordered so that a refresh never sees an order before its visit; circles do no harm."""
    events = dict(reversed(DEFAULT_EVENTS.items())) | {"a": Event(parent="b_id"), "b": Event(parent={"a": "a_id"})}
    order = ordered(events)

    assert order.index("visits") < order.index("carts") < order.index("orders") < order.index("feedback")
    assert parents_of(events, "carts") == [("visits", "visit_id")]
    assert set(order) == set(events)

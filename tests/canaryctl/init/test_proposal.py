"""From unknown tables to a proposed mapping."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from canaryctl.init.proposal import Column, Proposed, Source, excluded, judgeable, outcomes, propose

TIME, NUMBER, TEXT = "time", "number", "text"


def source(name: str, *columns: tuple[str, str] | tuple[str, str, str], key: str | None = "id") -> Source:
    """A table; a column's third word is the table its foreign key points to."""
    return Source(name, tuple(Column(*column) for column in columns), key)


SHOP = [
    source("tbl_sessions", ("id", NUMBER), ("started_at", TIME), ("app_version", TEXT)),
    source("CustomerBasket", ("id", NUMBER), ("created", TIME), ("checkout_at", TIME),
           ("sess", NUMBER, "tbl_sessions")),
    source(
        "shop_orders",
        ("uuid", TEXT), ("session_id", NUMBER), ("basket_id", NUMBER), ("placed_at", TIME), ("grand_total", NUMBER),
        ("currency_code", TEXT), ("status", TEXT),
        key="uuid",
    ),
    source("shop_order_items", ("id", NUMBER), ("order_id", NUMBER), ("created_at", TIME)),
    source("transactions", ("id", NUMBER), ("order_id", TEXT), ("state", TEXT), ("amount", NUMBER),
           ("created_at", TIME)),
]  # fmt: skip


def by_event(sources: list[Source]) -> dict[str, Proposed]:
    """The proposal by event."""
    return {one.event: one for one in propose(sources)}


def test_tables_are_found_by_their_last_word() -> None:
    """Prefixes, plural, camel case and synonyms do not matter; a detail table is not taken for its master."""
    found = by_event(SHOP)

    assert {event: one.table for event, one in found.items()} == {
        "visits": "tbl_sessions",
        "carts": "CustomerBasket",
        "checkouts": "CustomerBasket",
        "orders": "shop_orders",
        "payments": "transactions",
    }


def test_columns_are_found_by_key_reference_and_name() -> None:
    """The primary key, a foreign key, and usual names for times, totals, currencies and outcomes."""
    found = by_event(SHOP)

    assert found["orders"].keys["id"] == "uuid"
    assert found["orders"].keys["time"] == "placed_at"
    assert found["orders"].keys["value"] == "grand_total"
    assert found["orders"].keys["currency"] == "currency_code"
    assert found["orders"].keys["parent"] == {
        "visits": "session_id", "carts": "basket_id", "checkouts": "basket_id",
    }  # fmt: skip
    assert found["carts"].keys["parent"] == {"visits": "sess"}
    assert found["checkouts"].keys["time"] == "checkout_at"
    assert found["payments"].keys["outcome"] == "state"


def test_a_missing_version_is_left_to_the_visit() -> None:
    """Rows without a version have none: they take that of the visit that they come from."""
    found = by_event(SHOP)

    assert found["visits"].keys["version"] == "app_version"
    assert found["orders"].keys["version"] is None


def test_a_counter_of_edits_is_no_version() -> None:
    """A number called `version` says how often the row was edited."""
    orders = by_event([source("order", ("id", NUMBER), ("version", NUMBER), ("created_at", TIME))])["orders"]

    assert orders.keys["version"] is None


def test_a_time_that_changes_is_no_time_of_an_event() -> None:
    """Neither `updated_at` nor a session's end in the future, even where there is no other time."""
    table = source("orders", ("id", NUMBER), ("date_upd", TIME), ("last_modified", TIME), ("expires_at", TIME))

    assert propose([table]) == []


def test_an_outcome_is_not_settled_when_the_row_was_last_touched() -> None:
    """`updated_at` moves with every later change of the row."""
    columns = ("id", NUMBER), ("created_at", TIME), ("updated_at", TIME), ("state", TEXT)

    assert "settled" not in by_event([source("payments", *columns)])["payments"].keys


def test_only_what_can_be_measured_is_judged() -> None:
    """A KPI needs its events, its value or outcome, and the link between unit and conversion."""
    assert judgeable(propose(SHOP)) == [
        "conversion_rate", "average_order_value", "cart_abandonment_rate", "payment_success_rate",
        "checkout_completion_rate",
    ]  # fmt: skip
    assert judgeable(propose([])) == []


def test_a_table_without_a_time_is_no_event() -> None:
    """Rows that cannot be ordered in time cannot be counted."""
    assert propose([source("orders", ("id", NUMBER), ("total", NUMBER))]) == []


def test_outcomes_are_read_from_all_of_their_words() -> None:
    """What says success or failure with every word is one; what only contains such a word is not."""
    values = [
        "succeeded", "CAPTURED", "paid", "failed", "card_declined", "pending", "requires_action", "expired",
        "unpaid", "not_paid", "incomplete", "disapproved", "uncaptured", "partially_paid", "PaymentFailed",
    ]  # fmt: skip

    succeeded, failed = outcomes(values)

    assert succeeded == ["CAPTURED", "paid", "succeeded"]
    assert failed == ["PaymentFailed", "card_declined", "failed"]
    assert excluded(["open", "cancelled", "test_order", "uncancelled"]) == ["cancelled", "test_order"]


def test_names_may_be_written_in_any_case() -> None:
    """`createdAt` and `CustomerId`, as object mappers write them, are found as `created_at` and `customer_id` are."""
    times = (Column("shownAt", TIME), Column("createdAt", TIME))
    visits = Source(
        "Visit", (Column("Id", NUMBER), Column("CustomerId", TEXT), Column("appVersion", TEXT), *times), "Id"
    )
    orders = Source(
        "Order", (Column("orderNo", NUMBER), Column("VisitId", NUMBER), Column("grandTotal", NUMBER), *times)
    )

    found = {one.event: one.keys for one in propose([visits, orders])}

    assert found["visits"] == {"id": "Id", "time": "createdAt", "version": "appVersion", "unit": "CustomerId"}
    assert found["orders"]["parent"] == {"visits": "VisitId"}
    assert found["orders"]["value"] == "grandTotal"


def test_a_table_without_a_time_is_nobodys_parent() -> None:
    """What is no event, as nothing says when its rows came to be, is not named by the events that come from it."""
    visits = Source("visits", (Column("id", NUMBER), Column("started", NUMBER)), "id")
    orders = Source("orders", (Column("id", NUMBER), Column("visit_id", NUMBER), Column("created_at", TIME)), "id")

    (found,) = propose([visits, orders])

    assert found.event == "orders"
    assert "parent" not in found.keys


_NAMES = st.text("abcdeorst_", min_size=1, max_size=10)
_SOURCES = st.lists(
    st.builds(
        Source,
        _NAMES,
        st.lists(st.builds(Column, _NAMES, st.sampled_from([TIME, NUMBER, TEXT])), min_size=1, max_size=5).map(tuple),
    ),
    max_size=6,
)


@given(sources=_SOURCES)
def test_a_proposal_only_names_what_is_there(sources: list[Source]) -> None:
    """Whatever the tables are called, every proposed column exists in the proposed table, and every parent is an
    event that is proposed too.
    """
    proposed = propose(sources)
    for one in proposed:
        parents: Any = one.keys.get("parent", {})
        assert set(parents) <= {other.event for other in proposed}
        columns = {column.name for source in sources if source.name == one.table for column in source.columns}
        named = [value for value in one.keys.values() if isinstance(value, str)]
        assert set(named) <= columns

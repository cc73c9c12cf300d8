"""The shop's order database: the default schema that a bare policy expects, in SQLAlchemy Core.

Every row carries the version that wrote it. All times are UTC; SQLite keeps them as ISO 8601 text.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
)

# SQLite numbers rows by itself only where the key is exactly INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")
_Time = DateTime(timezone=True)
_Money = Numeric(12, 2, asdecimal=False)


def _version() -> Column[str]:
    return Column("version", String(64), nullable=False)


def _created_at() -> Column[object]:
    return Column("created_at", _Time, nullable=False)


metadata = MetaData()

visits = Table(
    "visits",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("visitor_id", String(64), nullable=False),
    _version(),
    _created_at(),
    Index("visits_created_at", "created_at"),
)

carts = Table(
    "carts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("visit_id", _Id, ForeignKey("visits.id"), nullable=False),
    _version(),
    _created_at(),
    Column("checkout_started_at", _Time),
    Index("carts_created_at", "created_at"),
    Index("carts_checkout_started_at", "checkout_started_at"),
    Index("carts_visit_id", "visit_id"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("visit_id", _Id, ForeignKey("visits.id"), nullable=False),
    Column("cart_id", _Id, ForeignKey("carts.id"), nullable=False),
    _version(),
    Column("status", String(16), nullable=False),
    Column("total", _Money, nullable=False),
    Column("currency", String(3), nullable=False),
    _created_at(),
    Index("orders_created_at", "created_at"),
    Index("orders_visit_id", "visit_id"),
    Index("orders_cart_id", "cart_id"),
)

payments = Table(
    "payments",
    metadata,
    Column("id", _Id, primary_key=True),
    # Filled in when the payment succeeds: an order exists only once it is paid.
    Column("order_id", _Id, ForeignKey("orders.id")),
    _version(),
    Column("status", String(16), nullable=False),
    Column("amount", _Money, nullable=False),
    _created_at(),
    Column("settled_at", _Time),
    Index("payments_created_at", "created_at"),
    Index("payments_settled_at", "settled_at"),
    Index("payments_order_id", "order_id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("order_id", _Id, ForeignKey("orders.id"), nullable=False),
    _version(),
    Column("score", SmallInteger, nullable=False),
    _created_at(),
    Index("feedback_created_at", "created_at"),
    Index("feedback_order_id", "order_id"),
)

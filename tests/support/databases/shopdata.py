"""The default schema without foreign keys, for tests that write histories a real shop could only dream of.

On SQLite times are ISO 8601 texts in mixed forms: with `T` or a space, with or without fraction, offset and `Z`.
"""

import itertools
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

METADATA = sa.MetaData()


class _IsoText(sa.TypeDecorator[datetime]):
    """Moments as ISO texts, each in another form."""

    impl = sa.String(40)
    cache_ok = True
    offsets = False

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> str | None:
        """One of the forms, chosen by the moment itself."""
        return None if value is None else iso_text(value, value.microsecond // 1000 + value.second)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """The moment."""
        if value is None:
            return None
        moment = datetime.fromisoformat(str(value))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def iso_text(moment: datetime, form: int, offset: timezone | None = None) -> str:
    """One of the forms in which shops write a moment."""
    separator = "T" if form % 2 else " "
    precision = ("seconds", "milliseconds", "microseconds")[form % 3]
    if offset is not None:
        return moment.astimezone(offset).isoformat(separator, precision)
    text = moment.astimezone(UTC).isoformat(separator, precision)
    return text.replace("+00:00", ("", "Z", "+00:00")[form // 6 % 3])


_TIME = (
    sa.DateTime(timezone=True)
    .with_variant(_IsoText(), "sqlite")
    .with_variant(DATETIME(fsp=6), "mysql")
    .with_variant(DATETIME(fsp=6), "mariadb")
)
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _table(name: str, *columns: sa.Column[Any], times: tuple[str, ...] = ("created_at",)) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column("id", _ID, primary_key=True, autoincrement=False),
        sa.Column("version", sa.String(64)),
        *columns,
        *(sa.Column(time, _TIME, index=True) for time in times),
    )


VISITS = _table("visits", sa.Column("visitor_id", sa.String(64)))
CARTS = _table("carts", sa.Column("visit_id", _ID), times=("created_at", "checkout_started_at"))
ORDERS = _table(
    "orders",
    sa.Column("visit_id", _ID),
    sa.Column("cart_id", _ID),
    sa.Column("status", sa.String(16)),
    sa.Column("total", sa.Numeric(12, 2)),
    sa.Column("currency", sa.String(3)),
)
PAYMENTS = _table(
    "payments",
    sa.Column("order_id", _ID),
    sa.Column("status", sa.String(16)),
    sa.Column("amount", sa.Numeric(12, 2)),
    times=("created_at", "settled_at"),
)
FEEDBACK = _table("feedback", sa.Column("order_id", _ID), sa.Column("score", sa.Integer))

_NUMBERS = itertools.count(1)


@dataclass
class ShopData:
    """Writes rows and asks the plain questions that the exporter's answers are compared with."""

    url: str
    engine: AsyncEngine = field(init=False)

    def __post_init__(self) -> None:
        """Prepare to connect."""
        self.engine = create_async_engine(self.url, poolclass=NullPool)

    async def create(self) -> None:
        """Empty tables."""
        async with self.engine.begin() as connection:
            if self.engine.dialect.name == "sqlite":
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # so that nobody waits for readers
            await connection.run_sync(METADATA.drop_all)
            await connection.run_sync(METADATA.create_all)

    async def close(self) -> None:
        """Give everything back."""
        await self.engine.dispose()

    async def insert(self, table: sa.Table, **values: Any) -> int:
        """Add a row; its id."""
        number = next(_NUMBERS)
        await self.run(table.insert().values(id=number, **values))
        return number

    async def insert_many(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Add rows."""
        async with self.engine.begin() as connection:
            await connection.execute(table.insert(), [{"id": next(_NUMBERS), **row} for row in rows])

    async def run(self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """Execute and commit."""
        async with self.engine.begin() as connection:
            result = await connection.execute(statement, parameters or {})
            return result.all() if result.returns_rows else None

    async def store_in_local_time(self, zone: str, hours: int) -> None:
        """Write every time anew as a shop's clock *hours* ahead of UTC shows it, without zone or offset."""
        for table in METADATA.sorted_tables:
            for column in (column.name for column in table.c if column.name.endswith("_at")):
                match self.engine.dialect.name:
                    case "postgresql":
                        change = (
                            f"ALTER TABLE {table} ALTER {column} TYPE TIMESTAMP USING {column} AT TIME ZONE '{zone}'"
                        )
                    case "sqlite":
                        shown = f"strftime('%Y-%m-%d %H:%M:%f', {column}, '+{hours} hours')"
                        change = f"UPDATE {table} SET {column} = {shown}"
                    case _:
                        change = f"UPDATE {table} SET {column} = {column} + INTERVAL {hours} HOUR"
                await self.run(sa.text(change.replace(":", r"\:")))

    async def counts(self) -> dict[str, dict[tuple[str, ...], float]]:
        """What the counters should say, by plain SELECT … GROUP BY."""
        version = sa.func.coalesce
        count = sa.func.count()
        found: dict[str, dict[tuple[str, ...], float]] = {}
        plain = {"visits": (VISITS, VISITS.c.created_at), "feedback": (FEEDBACK, FEEDBACK.c.created_at)}
        plain |= {"carts": (CARTS, CARTS.c.created_at), "checkouts": (CARTS, CARTS.c.checkout_started_at)}
        for event, (table, time) in plain.items():
            column = version(table.c.version, "unknown")
            rows = await self.run(sa.select(column, count).where(time.is_not(None)).group_by(column))
            found[f"shop_{event}_total"] = {(row[0],): float(row[1]) for row in rows}
        kept = sa.or_(ORDERS.c.status.is_(None), ORDERS.c.status != "cancelled")
        column = version(ORDERS.c.version, "unknown")
        rows = await self.run(sa.select(column, count).where(kept).group_by(column))
        found["shop_orders_total"] = {(row[0],): float(row[1]) for row in rows}
        value = sa.func.sum(ORDERS.c.total)
        rows = await self.run(
            sa.select(column, ORDERS.c.currency, value).where(kept).group_by(column, ORDERS.c.currency)
        )
        found["shop_order_value_total"] = {(row[0], row[1]): float(row[2]) for row in rows}
        final = PAYMENTS.c.status.in_(("succeeded", "failed"))
        column = version(PAYMENTS.c.version, "unknown")
        rows = await self.run(
            sa.select(column, PAYMENTS.c.status, count).where(final).group_by(column, PAYMENTS.c.status)
        )
        found["shop_payments_total"] = {(row[0], row[1]): float(row[2]) for row in rows}
        return found


async def fill(data: ShopData, moment: datetime, visits: int, *, version: str = "v1.0", seed: int = 0) -> None:
    """A little shop's history before *moment*: one visit a second, most with cart, checkout, payment and order."""
    luck = random.Random(seed)
    rows: dict[sa.Table, list[dict[str, Any]]] = {table: [] for table in (VISITS, CARTS, ORDERS, PAYMENTS, FEEDBACK)}

    def add(table: sa.Table, **values: Any) -> int:
        number = next(_NUMBERS)
        rows[table].append({"id": number, "version": version, **values})
        return number

    for number in range(visits):
        at = moment - timedelta(seconds=visits - number)
        visit = add(VISITS, created_at=at)
        if luck.random() < 0.7:
            cart = add(CARTS, visit_id=visit, created_at=at, checkout_started_at=at if luck.random() < 0.8 else None)
            paid = luck.random() < 0.9
            order = None
            if paid:
                total = luck.randint(500, 20_000) / 100
                order = add(
                    ORDERS, visit_id=visit, cart_id=cart, status="paid", total=total, currency="EUR", created_at=at
                )
                add(FEEDBACK, order_id=order, score=luck.randint(1, 5), created_at=at)
            status = "succeeded" if paid else "failed"
            add(PAYMENTS, order_id=order, status=status, amount=1, created_at=at, settled_at=at)
    async with data.engine.begin() as connection:
        for table, values in rows.items():
            if values:
                await connection.execute(table.insert(), values)


@asynccontextmanager
async def shop_data(url: str) -> AsyncIterator[ShopData]:
    """The schema, empty, for as long as it is needed."""
    data = ShopData(url)
    try:
        await data.create()
        yield data
    finally:
        await data.close()

"""What the shop writes to its order database: one method for each thing a customer does."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Insert, event, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from canary.errors import DatabaseUnavailableError
from canary.timing.clock import Clock
from demo.shop.schema import carts, feedback, metadata, orders, payments, visits

CURRENCY = "EUR"


class UnknownRowError(LookupError):
    """A customer named a visit, cart, order or payment that is not there."""


@dataclass(frozen=True)
class Payment:
    """A payment as the customer asks for it; *order_id* is known once it has succeeded."""

    status: str
    order_id: int | None


def open_engine(database: str) -> AsyncEngine:
    """An engine for the order database, such as `sqlite+aiosqlite:///shop.db` or `postgresql+asyncpg://...`.

    SQLite gets write-ahead logging, so that two versions of the shop and the exporter do not wait for each other.
    """
    url = make_url(database)
    if url.get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=5, max_overflow=5, pool_pre_ping=True)
    engine = create_async_engine(url, connect_args={"timeout": 10})

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]  # DBAPI connections have no common type
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction; the only place where the driver's errors become ours."""
    try:
        async with engine.begin() as connection:
            yield connection
    except IntegrityError as error:
        raise UnknownRowError("the row that this one belongs to does not exist") from error
    except (DBAPIError, OSError) as error:
        raise DatabaseUnavailableError(
            f"expected it to take a row, found {type(error).__name__}",
            place=f"order database at {engine.url.render_as_string(hide_password=True)}",
            remedy="is it running, and are its tables created?",
        ) from error


async def create_schema(engine: AsyncEngine) -> None:
    """Create the tables and indexes that are not there yet.

    Raises:
        DatabaseUnavailableError: the database cannot be reached, or does not let us.
    """
    async with _transaction(engine) as connection:
        await connection.run_sync(metadata.create_all)


class Store:
    """The order database as one version of the shop uses it.

    Every method raises `DatabaseUnavailableError` when the database cannot be reached or does not answer.
    """

    def __init__(self, engine: AsyncEngine, version: str, clock: Clock) -> None:
        self._engine = engine
        self._version = version
        self._clock = clock

    def _transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return _transaction(self._engine)

    def _stamp(self) -> dict[str, str | datetime]:
        return {"version": self._version, "created_at": self._clock.now()}

    async def _insert(self, statement: Insert) -> int:
        async with self._transaction() as connection:
            return await _insert(connection, statement)

    async def add_visit(self, visitor_id: str) -> int:
        """A customer came in; returns the visit's id."""
        return await self._insert(insert(visits).values(visitor_id=visitor_id, **self._stamp()))

    async def add_cart(self, visit_id: int) -> int:
        """A customer put something into a cart; returns the cart's id.

        Raises:
            UnknownRowError: there is no such visit.
        """
        return await self._insert(insert(carts).values(visit_id=visit_id, **self._stamp()))

    async def start_checkout(self, cart_id: int) -> None:
        """A customer went to the till.

        Raises:
            UnknownRowError: there is no such cart.
        """
        statement = update(carts).where(carts.c.id == cart_id).values(checkout_started_at=self._clock.now())
        async with self._transaction() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise UnknownRowError(f"no cart {cart_id}")

    async def start_payment(self, cart_id: int, amount: float) -> int:
        """Money was asked for; returns the id of the payment, which is pending from now on.

        Raises:
            UnknownRowError: there is no such cart.
        """
        payment = insert(payments).values(status="pending", amount=amount, **self._stamp())
        async with self._transaction() as connection:
            await self._visit_of(connection, cart_id)
            return await _insert(connection, payment)

    async def settle_payment(self, payment_id: int, cart_id: int, amount: float, *, succeeded: bool) -> None:
        """The payment service answered; a payment that succeeded makes the order.

        Raises:
            UnknownRowError: there is no such cart.
        """
        settled = update(payments).where(payments.c.id == payment_id)
        async with self._transaction() as connection:
            order_id = await self._add_order(connection, cart_id, amount) if succeeded else None
            status = "succeeded" if succeeded else "failed"
            await connection.execute(
                settled.values(status=status, order_id=order_id, settled_at=self._clock.now()),
            )

    async def _add_order(self, connection: AsyncConnection, cart_id: int, amount: float) -> int:
        order = {
            "visit_id": await self._visit_of(connection, cart_id),
            "cart_id": cart_id,
            "status": "paid",
            "total": amount,
            "currency": CURRENCY,
            **self._stamp(),
        }
        return await _insert(connection, insert(orders).values(order))

    async def _visit_of(self, connection: AsyncConnection, cart_id: int) -> int:
        visit_id = await connection.scalar(select(carts.c.visit_id).where(carts.c.id == cart_id))
        if visit_id is None:
            raise UnknownRowError(f"no cart {cart_id}")
        return int(visit_id)

    async def payment(self, payment_id: int) -> Payment:
        """How a payment stands.

        Raises:
            UnknownRowError: there is no such payment.
        """
        statement = select(payments.c.status, payments.c.order_id).where(payments.c.id == payment_id)
        async with self._transaction() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise UnknownRowError(f"no payment {payment_id}")
        return Payment(status=row.status, order_id=row.order_id)

    async def add_feedback(self, order_id: int, score: int) -> int:
        """A customer said how it was, from 1 to 5; returns the feedback's id.

        Raises:
            UnknownRowError: there is no such order.
        """
        return await self._insert(insert(feedback).values(order_id=order_id, score=score, **self._stamp()))


async def _insert(connection: AsyncConnection, statement: Insert) -> int:
    key = (await connection.execute(statement)).inserted_primary_key
    assert key is not None
    return int(key[0])

"""The order database as the shop writes it."""

from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from canary.errors import DatabaseUnavailableError
from canary.timing.clock import SystemClock
from demo.shop.schema import carts, orders, payments, visits
from demo.shop.store import Payment, Store, UnknownRowError, create_schema, open_engine


@pytest.fixture
def store(engine: AsyncEngine) -> Store:
    """The database as version v1.0 uses it."""
    return Store(engine, "v1.0", SystemClock())


async def test_a_payment_that_succeeds_makes_the_order(engine: AsyncEngine, store: Store) -> None:
    """An order exists only once it is paid, and names its visit, cart, amount and version."""
    visit_id = await store.add_visit("anna")
    cart_id = await store.add_cart(visit_id)
    await store.start_checkout(cart_id)
    payment_id = await store.start_payment(cart_id, 12.5)

    pending = await store.payment(payment_id)
    await store.settle_payment(payment_id, cart_id, 12.5, succeeded=True)
    settled = await store.payment(payment_id)

    assert pending == Payment("pending", None)
    assert settled.status == "succeeded"
    async with engine.connect() as connection:
        order = (await connection.execute(select(orders))).one()
        payment = (await connection.execute(select(payments))).one()
        cart = (await connection.execute(select(carts))).one()
    assert (order.id, order.visit_id, order.cart_id) == (settled.order_id, visit_id, cart_id)
    assert (order.version, order.status, order.total, order.currency) == ("v1.0", "paid", 12.5, "EUR")
    assert cart.created_at <= cart.checkout_started_at <= payment.created_at <= payment.settled_at


async def test_a_payment_that_fails_makes_no_order(engine: AsyncEngine, store: Store) -> None:
    """A failed payment leaves its row, settled, and nothing else."""
    cart_id = await store.add_cart(await store.add_visit("anna"))
    payment_id = await store.start_payment(cart_id, 3)

    await store.settle_payment(payment_id, cart_id, 3, succeeded=False)

    assert await store.payment(payment_id) == Payment("failed", None)
    async with engine.connect() as connection:
        assert (await connection.execute(select(orders))).all() == []


async def test_rows_that_are_not_there_are_named(store: Store) -> None:
    """A visit, cart, payment or order that does not exist is an UnknownRowError, not a crash."""
    with pytest.raises(UnknownRowError):
        await store.add_cart(77)
    with pytest.raises(UnknownRowError, match="cart 77"):
        await store.start_checkout(77)
    with pytest.raises(UnknownRowError, match="cart 77"):
        await store.start_payment(77, 1)
    with pytest.raises(UnknownRowError, match="payment 77"):
        await store.payment(77)
    with pytest.raises(UnknownRowError):
        await store.add_feedback(77, 5)


async def test_creating_the_schema_twice_keeps_the_rows(engine: AsyncEngine, store: Store) -> None:
    """Two versions may both create what is missing."""
    await store.add_visit("anna")

    await create_schema(engine)

    async with engine.connect() as connection:
        assert len((await connection.execute(select(visits))).all()) == 1


async def test_a_database_out_of_reach_is_told_apart(unused_tcp_port: int) -> None:
    """No connection is DatabaseUnavailableError, with the address, without the password, and what to look at."""
    engine = open_engine(f"postgresql+asyncpg://shop:pssst@127.0.0.1:{unused_tcp_port}/shop")
    store = Store(engine, "v1.0", SystemClock())

    with pytest.raises(DatabaseUnavailableError, match=rf"{unused_tcp_port}/shop.*is it running") as caught:
        await store.add_visit("anna")

    await engine.dispose()
    assert "pssst" not in str(caught.value)


async def test_a_file_that_is_no_database_is_told_apart(tmp_path: Path) -> None:
    """A broken SQLite file is DatabaseUnavailableError too."""
    (tmp_path / "shop.db").write_text("this is a shopping list, not a database" * 100)
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    store = Store(engine, "v1.0", SystemClock())

    with pytest.raises(DatabaseUnavailableError, match=r"shop\.db.*is it running"):
        await store.add_visit("anna")
    await engine.dispose()


async def test_sqlite_times_are_utc_text(engine: AsyncEngine, store: Store, database: str) -> None:
    """In SQLite a time is ISO 8601 text in UTC, as the exporter expects."""
    if "sqlite" in database:
        await store.add_visit("anna")
        async with engine.connect() as connection:
            created_at = await connection.scalar(text("SELECT created_at FROM visits"))
        now = SystemClock().now()
        assert created_at[:11] == f"{now:%Y-%m-%d }"

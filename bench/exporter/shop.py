"""A shop's past in PostgreSQL: visits, carts, orders and payments of two versions over seven days."""

import asyncio
import time

import asyncpg

# A week of rows is what a first start has to count.
DAYS = 7

SCHEMA = """
CREATE TABLE visits (id bigint PRIMARY KEY, visitor_id text, version text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE carts (id bigint PRIMARY KEY, visit_id bigint NOT NULL, version text NOT NULL,
  created_at timestamptz NOT NULL, checkout_started_at timestamptz);
CREATE TABLE orders (id bigint PRIMARY KEY, visit_id bigint NOT NULL, cart_id bigint NOT NULL, version text NOT NULL,
  status text NOT NULL, total numeric(12,2) NOT NULL, currency text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE payments (id bigint PRIMARY KEY, order_id bigint, version text NOT NULL, status text NOT NULL,
  amount numeric(12,2) NOT NULL, created_at timestamptz NOT NULL, settled_at timestamptz);
CREATE TABLE feedback (id bigint PRIMARY KEY, order_id bigint NOT NULL, version text NOT NULL, score int NOT NULL,
  created_at timestamptz NOT NULL);
"""

INDEXES = """
CREATE INDEX ON visits (created_at);
CREATE INDEX ON carts (created_at);
CREATE INDEX ON carts (checkout_started_at);
CREATE INDEX ON orders (created_at);
CREATE INDEX ON payments (created_at);
CREATE INDEX ON payments (settled_at);
CREATE INDEX ON feedback (created_at);
"""

_STATUS = "CASE WHEN n % 33 = 0 THEN 'failed' ELSE 'succeeded' END"
_VERSION = "CASE WHEN n % 20 = 0 THEN 'v2.0' ELSE 'v1.0' END"


async def seed(dsn: str, visits: int, orders: int) -> None:
    """Fill an empty database evenly over the last seven days; as many payments as orders."""
    connection = await asyncpg.connect(dsn)
    carts = visits * 6 // 10
    try:
        await connection.execute(SCHEMA)
        for table, count, columns in (
            ("visits", visits, f"n, n::text, {_VERSION}, {_moment(visits)}"),
            ("carts", carts, f"n, n, {_VERSION}, {_moment(carts)}, {_moment(carts)}"),
            ("orders", orders, f"n, n, n, {_VERSION}, 'paid', 10 + n % 90, 'EUR', {_moment(orders)}"),
            (
                "payments",
                orders,
                f"n, n, {_VERSION}, {_STATUS}, 10 + n % 90, {_moment(orders)}, {_moment(orders)}",
            ),
        ):
            await connection.execute(f"INSERT INTO {table} SELECT {columns} FROM generate_series(1, {count}) n")
        await connection.execute(INDEXES)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _moment(count: int) -> str:
    """Row *n* of *count*, the last one now."""
    return f"now() - interval '{DAYS} days' * (1 - n::float8 / {count})"


async def trade(dsn: str, visits_per_second: float, stop: asyncio.Event) -> None:
    """Customers who go on shopping until told to stop, at the rate of the past."""
    connection = await asyncpg.connect(dsn)
    number = time.time_ns() // 1000  # no id of the past, nor of an earlier run
    try:
        while not stop.is_set():
            number += 1
            version = "v2.0" if number % 20 == 0 else "v1.0"
            await connection.execute(
                "INSERT INTO visits VALUES ($1, $2, $3, clock_timestamp())", number, str(number), version
            )
            if number % 10 < 6:
                await connection.execute(
                    "INSERT INTO carts VALUES ($1, $1, $2, clock_timestamp(), clock_timestamp())", number, version
                )
            if number % 10 < 5:
                await connection.execute(
                    "INSERT INTO orders VALUES ($1, $1, $1, $2, 'paid', 10, 'EUR', clock_timestamp())", number, version
                )
                await connection.execute(
                    "INSERT INTO payments VALUES ($1, $1, $2, 'succeeded', 10, clock_timestamp(), clock_timestamp())",
                    number,
                    version,
                )
            await asyncio.sleep(1 / visits_per_second)
    finally:
        await connection.close()

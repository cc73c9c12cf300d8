"""A shop's order database with a few customers in it, for the pages that look into one."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from demo.shop.schema import carts, feedback, orders, payments, visits
from demo.shop.store import create_schema, open_engine
from tests.support.documents.distribution import build


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with `shop.db`: 400 visits of the last hour, every fourth becomes a paid order."""
    asyncio.run(_fill(tmp_path / "shop.db"))
    return tmp_path


async def _fill(path: Path) -> None:
    engine = open_engine(f"sqlite+aiosqlite:///{path}")
    await create_schema(engine)
    rows: dict[sa.Table, list[dict[str, object]]] = {table: [] for table in (visits, carts, orders, payments, feedback)}
    now = datetime.now(UTC)
    for number in range(1, 401):
        at = now - timedelta(seconds=9 * number)
        same: dict[str, object] = {"id": number, "version": "v1.0", "created_at": at}
        rows[visits].append({**same, "visitor_id": f"u{number}"})
        if number % 2 == 0:
            rows[carts].append({**same, "visit_id": number, "checkout_started_at": at if number % 4 == 0 else None})
        if number % 4 == 0:
            order = {**same, "visit_id": number, "cart_id": number, "status": "paid", "total": 40, "currency": "EUR"}
            rows[orders].append(order)
            paid = {"order_id": number, "status": "succeeded", "amount": 40, "settled_at": at}
            rows[payments].append({**same, **paid})
            rows[feedback].append({**same, "order_id": number, "score": 4})
    async with engine.begin() as connection:
        for table, values in rows.items():
            await connection.execute(table.insert(), values)
    await engine.dispose()

"""What is read of tables whose platform nobody knows."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from canaryctl.init.reading import guess
from exporter.source.database import Patience
from exporter.source.session import order_session
from tests.support.databases.exporting import policy_for

_PRISMA = 'CREATE TABLE visits (id INTEGER PRIMARY KEY, "createdAt" DATETIME, version TEXT)'


@pytest.mark.parametrize(
    ("moment", "unit"), [("'2026-11-28 12:00:00'", None), ("1764331200000", "milliseconds"), ("1764331200", "seconds")]
)
async def test_a_number_is_a_time_where_it_could_be_now(tmp_path: Path, moment: str, unit: str | None) -> None:
    """In a column that is called like a time; how large it is tells its unit. A duration is no time."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
        shop.execute(_PRISMA)
        shop.execute(
            'CREATE TABLE orders (id INTEGER PRIMARY KEY, "visitId" INT, handling_time INT, "createdAt" DATETIME)'
        )
        shop.execute(f"INSERT INTO visits VALUES (1, {moment}, 'v1')")
        shop.execute(f"INSERT INTO orders VALUES (1, 1, 90, {moment})")

    async with order_session(policy_for("sqlite:///shop.db", tmp_path), Patience.STUDY) as session:
        proposed, _ = await guess(session)

    assert [(one.event, one.keys["time"], one.keys.get("time_unit")) for one in proposed] == [
        ("visits", "createdAt", unit),
        ("orders", "createdAt", unit),
    ]

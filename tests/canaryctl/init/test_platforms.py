"""Each platform's mapping on tables with its columns, and rows as it writes them: every number is that of plain SQL.

The files in `shops/` have the columns that a mapping uses, in words of our own, with what counts and what does not
between each other: drafts, refunds, carts, orders of the admin, other currencies, bank transfers, failed payments.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from canary.clock import SystemClock
from canary.policy import load_policy
from canary.policy.kpis import DEFAULT_KPIS
from canaryctl.cli.init import command
from canaryctl.init.platform import platforms
from exporter.refresher import Refresher
from tests.support.exporting import published, refresher_on
from tests.support.mariadb import MariaDb
from tests.support.postgres import Postgres

_SHOPS = Path(__file__).parent / "shops"
_NAMES = sorted(path.stem for path in _SHOPS.glob("*.yaml"))


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, MariaDb | Postgres]]:
    """One server of each kind for all platforms."""
    with MariaDb() as mariadb, Postgres() as postgres:
        yield {"mariadb": mariadb, "postgresql": postgres}


async def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Give statements one after the other, on one connection; the last one's rows."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                result = await connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await engine.dispose()


async def fill(url: str, shop: dict[str, Any]) -> None:
    """Make the shop's tables and rows; `{-5}` is five minutes ago on the shop's clock."""
    now = datetime.now(UTC).astimezone(ZoneInfo(shop.get("zone", "UTC"))).replace(microsecond=0, tzinfo=None)

    def moment(found: re.Match[str]) -> str:
        return f"'{now - timedelta(minutes=int(found[1]))}'"

    text = re.sub(r"\{-(\d+)\}", moment, shop["tables"] + shop["rows"])
    zone = {"mariadb": "SET time_zone = '+00:00'", "postgresql": "SET TIME ZONE 'UTC'"}[shop["engine"]]
    await run(url, zone, *filter(str.strip, re.split(r";\s*(?:\n|(?=CREATE))", text)))


def _plain(url: str) -> str:
    return url.replace("+asyncmy", "").replace("+asyncpg", "")


async def _known(refresher: Refresher) -> Refresher:
    for _ in range(20):
        await refresher.refresh()
        if refresher.complete:
            break
    assert refresher.complete
    return refresher


def _labels(rows: list[tuple[Any, ...]]) -> dict[tuple[str, ...], float]:
    return {tuple(row[:-1]): float(row[-1]) for row in rows}


def test_every_platform_is_tested() -> None:
    """No mapping is shipped that was never held against rows."""
    assert sorted(platforms()) == _NAMES


@pytest.mark.parametrize("name", _NAMES)
async def test_every_number_is_that_of_plain_sql(
    name: str, tmp_path: Path, servers: dict[str, MariaDb | Postgres]
) -> None:
    """The platform is recognised by its tables, and its counters and KPIs agree with hand-written SQL."""
    shop = yaml.safe_load((_SHOPS / f"{name}.yaml").read_text(encoding="utf-8"))
    url = servers[shop["engine"]].new_database()
    await fill(url, shop)
    output = tmp_path / "canary.yaml"
    argv = ["--database", _plain(url), "--service", "shop", "--output", str(output), "--format", "json"]
    argv += ["--timezone", shop["zone"]] if "zone" in shop and "sql" not in str(platforms()[name].timezone_sql) else []

    result = await asyncio.to_thread(CliRunner().invoke, command, argv, catch_exceptions=False)
    said = json.loads(result.stdout)
    policy = load_policy(output)
    async with refresher_on(policy, SystemClock()) as refresher:
        await _known(refresher)
        counters = published(refresher)
        kpis = {kpi.kpi: kpi.value for kpi in refresher.snapshot.kpis or () if kpi.currency.upper() in ("", "EUR")}

    assert said["platform"] == name
    assert [finding for finding in said["findings"] if finding["status"] == "failed"] == []
    assert policy.database.timezone == shop.get("zone", "UTC")
    assert counters == {metric: _labels(await run(url, sql)) for metric, sql in shop["expect"].items()}
    assert kpis == pytest.approx({kpi: float((await run(url, sql))[0][0]) for kpi, sql in shop["kpis"].items()})
    assert kpis.keys() | said["impossible"].keys() == DEFAULT_KPIS.keys()
    assert not kpis.keys() & said["impossible"].keys()

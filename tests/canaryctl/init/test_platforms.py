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

from canary.policy import load_policy
from canary.policy.kpis import DEFAULT_KPIS
from canary.timing.clock import SystemClock
from canaryctl.cli.check import command as check
from canaryctl.cli.init import command
from canaryctl.cli.study.plan import command as plan
from canaryctl.init.platform import platforms
from canaryctl.init.reading import guess
from exporter.refresher import Refresher
from exporter.source.database import Patience
from exporter.source.session import order_session
from tests.support.databases.exporting import policy_for, published, refresher_on
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.postgres import Postgres
from tests.support.documents.pages import DOCS, Page, blocks_of, matches

_SHOPS = Path(__file__).parent / "shops"
_COMMANDS = {"init": command, "check": check, "plan": plan}
_NAMES = sorted(path.stem for path in _SHOPS.glob("*.yaml"))


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, MariaDb | Postgres]]:
    """One server of each kind for all platforms."""
    with MariaDb() as mariadb, Postgres() as postgres:
        mariadb.execute("CREATE USER canary; GRANT ALL ON *.* TO shop@'127.0.0.1' WITH GRANT OPTION")
        postgres.execute(postgres.new_database(), "CREATE ROLE canary LOGIN")
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


async def as_reader(name: str, shop: dict[str, Any], url: str) -> str:
    """Give the page's user the rights that it says are enough, and no more; the database's address for that user."""
    (rights,) = [block.text for block in blocks_of(DOCS / "platforms" / f"{name}.md") if block.language == "sql"]
    usual = platforms()[name].prefix
    text = re.sub(rf"ON (shop\.)?([`\"]?){usual}", rf"ON \2{shop.get('prefix', usual)}", rights)
    await run(url, *re.findall("^GRANT [^;]*", text, re.MULTILINE))
    return url.replace("shop@", "canary@")


def follow(page: Page, url: str) -> str:
    """Give the page's commands, with the test's own database for the reader's; what they said."""
    said = []
    for one in page.commands:
        if one.text.startswith("export"):
            continue
        _, name, *argv = one.text.replace("$DATABASE", url).split()
        result = CliRunner().invoke(_COMMANDS[name], argv)
        assert result.exit_code == one.status, (result.output, result.exception)
        assert matches(result.output, one.expected), result.output
        said.append(result.output)
    return "".join(said)


@pytest.mark.parametrize("name", _NAMES)
async def test_every_number_is_that_of_plain_sql(
    name: str, tmp_path: Path, servers: dict[str, MariaDb | Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does what the platform's page says, with a user of the rights that it names, has counters and KPIs that agree
    with hand-written SQL.
    """
    shop = yaml.safe_load((_SHOPS / f"{name}.yaml").read_text(encoding="utf-8"))
    url = servers[shop["engine"]].new_database()
    await fill(url, shop)
    monkeypatch.chdir(tmp_path)
    page = Page(f"platforms/{name}.md", tmp_path)

    reader = await as_reader(name, shop, url)
    said = await asyncio.to_thread(follow, page, re.sub(r"\+asyncmy|\+asyncpg", "", reader))
    policy = load_policy(tmp_path / "canary.yaml")
    async with refresher_on(policy, SystemClock()) as refresher:
        await _known(refresher)
        counters = published(refresher)
        kpis = {kpi.kpi: kpi.value for kpi in refresher.snapshot.kpis or () if kpi.currency.upper() in ("", "EUR")}

    assert not re.search("^failed|not known", said, re.MULTILINE), said
    assert policy.database.timezone == shop.get("zone", "UTC")
    assert counters == {metric: _labels(await run(url, sql)) for metric, sql in shop["expect"].items()}
    assert kpis == pytest.approx({kpi: float((await run(url, sql))[0][0]) for kpi, sql in shop["kpis"].items()})
    assert kpis.keys() | platforms()[name].impossible.keys() == DEFAULT_KPIS.keys()
    assert not kpis.keys() & platforms()[name].impossible.keys()


async def test_a_platform_is_recognised_by_its_tables(tmp_path: Path, servers: dict[str, MariaDb | Postgres]) -> None:
    """Nobody need name it, or the prefix of its tables; a script is told which it is, and what cannot be measured."""
    for name in ("woocommerce-posts", "medusa"):
        shop = yaml.safe_load((_SHOPS / f"{name}.yaml").read_text(encoding="utf-8"))
        url = servers[shop["engine"]].new_database()
        await fill(url, shop)
        argv = ["--database", re.sub(r"\+asyncmy|\+asyncpg", "", url), "--service", "shop", "--format", "json"]
        argv += ["--output", str(tmp_path / f"{name}.yaml")]

        result = await asyncio.to_thread(CliRunner().invoke, command, argv, catch_exceptions=False)
        said = json.loads(result.stdout)

        assert said["platform"] == name
        assert said["impossible"] == platforms()[name].impossible
        assert [finding for finding in said["findings"] if finding["status"] == "failed"] == []


async def test_what_the_user_may_not_read_is_said(
    tmp_path: Path, servers: dict[str, MariaDb | Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that say the zone, and a table that a SELECT names: what is not known or read, and what to do."""
    shop = yaml.safe_load((_SHOPS / "opencart.yaml").read_text(encoding="utf-8"))
    url = servers["mariadb"].new_database()
    await fill(url, shop)
    reader = await as_reader("opencart", shop, url)
    await run(url, "REVOKE SELECT ON oc_setting FROM canary")
    monkeypatch.chdir(tmp_path)
    argv = ["--database", reader.replace("+asyncmy", ""), "--service", "shop"]

    result = await asyncio.to_thread(CliRunner().invoke, command, argv, catch_exceptions=False)
    await run(url, "REVOKE SELECT ON oc_order FROM canary")
    checked = await asyncio.to_thread(CliRunner().invoke, check, ["--only", "database"])

    assert "not known: the shop's time zone; this user cannot read oc_setting, which says it" in result.output
    assert "nothing that could be read says another" in result.output
    assert "denied to user" in checked.output
    assert "; let this user read what the statement names: GRANT SELECT" in checked.output


async def test_a_platform_that_is_not_there_is_said(tmp_path: Path, servers: dict[str, MariaDb | Postgres]) -> None:
    """What is missing is named, with what to do."""
    url = servers["mariadb"].new_database().replace("+asyncmy", "")
    argv = ["--database", url, "--service", "s", "--platform", "opencart", "--output", str(tmp_path / "canary.yaml")]

    result = await asyncio.to_thread(CliRunner().invoke, command, argv)

    assert str(result.exception) == (
        "OpenCart: not there, or not to be read by this user: table oc_order, table oc_order_history;"
        " give the tables' --prefix, and the user the right to read them"
    )


_MONEY = "grand_total DECIMAL(10,2), base_currency_code CHAR(3), order_currency_code CHAR(3)"
_TIMES = "created_at DATETIME, updated_at DATETIME"
_RESERVED = (
    f"CREATE TABLE `order` (id INT PRIMARY KEY, version INT, {_TIMES}, ip VARCHAR(45), {_MONEY}, status VARCHAR(20))",
    f"CREATE TABLE payments (id INT PRIMARY KEY, order_id INT, state VARCHAR(20), {_TIMES})",
    "INSERT INTO `order` VALUES (1, 1, NOW(), NOW(), '::1', 5, 'EUR', 'USD', 'paid')",
    "INSERT INTO payments VALUES (1, 1, 'paid', NOW(), NOW()), (2, 1, 'unpaid', NOW(), NOW())",
    "CREATE VIEW nobody_may_show AS SELECT id FROM `order`",
    "CREATE TABLE gone (id INT)",
    "CREATE VIEW shows_nothing AS SELECT id FROM gone",
    "DROP TABLE gone",
)


async def test_guessing_minds_reserved_names_and_rights(
    tmp_path: Path, servers: dict[str, MariaDb | Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table called `order`, a view that the reader may not be shown, and one of a table that is gone; whoever says no
    gets no file.
    """
    server = servers["mariadb"]
    assert isinstance(server, MariaDb)
    url = server.new_database()
    await run(url, *_RESERVED)
    name = url.rpartition("/")[2]
    server.execute(f"CREATE USER reader@'127.0.0.1'; GRANT SELECT ON {name}.* TO reader@'127.0.0.1'")
    output = tmp_path / "canary.yaml"
    reader = url.replace("+asyncmy", "").replace("shop@", "reader@")
    argv = ["--database", reader, "--service", "shop", "--router", "none", "--output", str(output)]

    with monkeypatch.context() as terminal:
        terminal.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
        refused = await asyncio.to_thread(CliRunner().invoke, command, argv, input="UTC\n\nn\n")
    assert not output.exists()
    await asyncio.to_thread(CliRunner().invoke, command, [*argv, "--yes"], catch_exceptions=False)
    events = load_policy(output).database.events

    assert "not written" in str(refused.exception)
    assert "newest rows of" in refused.output
    assert (events["orders"].table, events["orders"].version, events["orders"].unit) == ("order", None, "ip")
    assert events["orders"].currency == "order_currency_code"
    assert (events["payments"].succeeded, events["payments"].settled) == (("paid",), None)


async def test_a_shop_in_another_schema_is_found(servers: dict[str, MariaDb | Postgres]) -> None:
    """With the schema's name before each table's, views that are stored among them, and references between them."""
    url = servers["postgresql"].new_database()
    await run(
        url,
        "CREATE SCHEMA shop_data",
        "CREATE TABLE shop_data.seen (id int PRIMARY KEY, created_at timestamptz)",
        "CREATE MATERIALIZED VIEW shop_data.visits AS SELECT * FROM shop_data.seen",
        "CREATE TABLE shop_data.orders (id int PRIMARY KEY, visit_id int, version text, total money, created_at date)",
        "INSERT INTO shop_data.orders VALUES (1, 1, 'v1', 5, now())",
        "CREATE TABLE unrelated (id int)",
    )

    async with order_session(policy_for(url), Patience.STUDY) as session:
        proposed, versions = await guess(session)

    assert [(one.event, one.table, one.keys.get("parent")) for one in proposed] == [
        ("visits", "shop_data.visits", None),
        ("orders", "shop_data.orders", {"visits": "visit_id"}),
    ]
    assert versions["orders"] == {"v1": 1}
    assert proposed[1].keys["value"] == "total"

"""`canary init --stamp`: the database notes who wrote a row, and the printed mapping reads it back."""

import asyncio
import json
import re
import shlex
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from canary.errors import CanaryError
from canary.policy import load_policy
from canary.policy.database.section import Database, Event
from canary.policy.kpis import DEFAULT_KPIS
from canary.policy.model import Policy
from canaryctl.cli.init import command
from canaryctl.init.stamp import COLUMN, stamp
from tests.support.clock import FakeClock
from tests.support.databases.exporting import published, refresher_on, settle
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.postgres import Postgres
from tests.support.documents.pages import DOCS, blocks_of

EVENTS: dict[str, Any] = {
    "orders": {"table": "Order", "id": "Key", "version": None, "exclude": {"status": ["cancelled"]}},
    "leads": {"sql": "SELECT l.no, l.created_at FROM select_leads AS l WHERE l.no > 0;", "id": "no", "version": None},
    "payments": {"table": "payments", "parent": {"orders": "order_id"}, "outcome": "status"},
}
"""Mixed case, words of SQL itself, a SELECT of one's own, and an event that descends from another."""

EXPECTED = {
    "shop_orders_total": {("unknown",): 1.0, ("v1",): 1.0, ("v2",): 1.0},
    "shop_leads_total": {("v1",): 1.0, ("v2",): 1.0},
    "shop_payments_total": {("v1", "succeeded"): 2.0},
}

_BLOCKS = blocks_of(DOCS / "shop" / "stamps.md")
[_SHELL], [MAPPING] = ([one.text for one in _BLOCKS if one.language == language] for language in ("sh", "yaml"))
COMMANDS = [shlex.split(line, comments=True) for line in _SHELL.splitlines()]
"""The page's: the script for a policy and for a database alone, given to PostgreSQL and to MariaDB."""

_MOMENT = f"{FakeClock().now() - timedelta(minutes=30):%Y-%m-%d %H:%M:%S}"


def _policy(folder: Path, url: str, events: object) -> Path:
    path = folder / "canary.yaml"
    kpis = {"payment_success_rate": {"kind": "success", "of": "payments", "action": "rollback"}}
    document = {"service": "shop", "database": {"url": re.sub(r"[+]\w+", "", url), "events": events}, "kpis": kpis}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def _make(quote: str, time: str) -> str:
    """The shop's tables, with an order from before the stamps."""
    order, key = f"{quote}Order{quote}", f"{quote}Key{quote}"
    return (
        f"CREATE TABLE {order} ({key} VARCHAR(20) PRIMARY KEY, status VARCHAR(20), created_at {time});"
        f"CREATE TABLE select_leads (no INT PRIMARY KEY, created_at {time});"
        f"CREATE TABLE payments (id INT PRIMARY KEY, order_id VARCHAR(20), status VARCHAR(20), created_at {time});"
        f"INSERT INTO {order} VALUES ('old', 'new', '{_MOMENT}')"
    )


async def _write(url: str, number: int, quote: str, **settings: Any) -> None:
    """What the shop writes when it connects so; it knows nothing of stamps."""
    order = f"{quote}Order{quote} ({quote}Key{quote}, status, created_at)"
    moment = f"'{_MOMENT}'"
    engine = create_async_engine(url, poolclass=NullPool, connect_args=settings)
    async with engine.begin() as connection:
        for statement in (
            f"INSERT INTO {order} VALUES ('o{number}', 'new', '{_MOMENT}')",
            f"INSERT INTO select_leads (no, created_at) VALUES ({number}, '{_MOMENT}')",
            # The first order's: whichever side serves the provider's call.
            f"INSERT INTO payments (id, order_id, status, created_at) VALUES ({number}, 'o1', 'succeeded', {moment})",
        ):
            await connection.exec_driver_sql(statement)


def _printed(folder: Path, url: str) -> tuple[str, dict[str, Any]]:
    """The script, and the policy's events with it."""
    arguments = ["--stamp", "--config.file", str(_policy(folder, url, EVENTS))]
    text = CliRunner().invoke(command, arguments)
    assert text.exit_code == 0, text.output
    return text.output, json.loads(CliRunner().invoke(command, [*arguments, "--format", "json"]).output)["events"]


async def _read_back(folder: Path, url: str, events: dict[str, Any]) -> dict[str, dict[tuple[str, ...], float]]:
    clock = FakeClock()
    async with refresher_on(load_policy(_policy(folder, url, events)), clock) as refresher:
        await settle(refresher, clock)
        return published(refresher)


async def test_postgresql_notes_the_name_of_the_application(tmp_path: Path) -> None:
    """Two application names: each row has its writer's version, rows from before have none, payments the order's."""
    with Postgres() as server:
        url = server.new_database()
        server.execute(url, _make('"', "TIMESTAMP"))
        script, events = _printed(tmp_path, url)
        for _ in range(2):  # a second time changes nothing
            server.execute(url, script)
        for number, version in enumerate(("v1", "v2"), 1):
            await _write(url, number, '"', server_settings={"application_name": version})

        assert await _read_back(tmp_path, url, events) == EXPECTED


async def test_mariadb_notes_the_name_of_the_user(tmp_path: Path) -> None:
    """Two database users, without a right to our tables: as on PostgreSQL. Orders go on without a table for stamps."""
    with MariaDb() as server:
        url = server.new_database()
        name = url.rpartition("/")[2]
        server.execute(f"USE {name}; {_make('`', 'DATETIME')}")
        script, events = _printed(tmp_path, url)
        program, database, _, file = COMMANDS[-1]
        assert (program, database, file) == ("mariadb", "shop", "stamp.sql")
        options = ["--no-defaults", "--skip-ssl", f"--socket={server.socket}", "--user=root"]
        for _ in range(2):
            given = await asyncio.to_thread(
                subprocess.run, [program, *options, name], input=script.encode(), check=False, capture_output=True
            )
            assert given.returncode == 0, given.stderr.decode()
        for number, version in enumerate(("v1", "v2"), 1):
            tables = ("`Order`", "select_leads", "payments")
            grants = "; ".join(f"GRANT INSERT ON {name}.{table} TO {version}" for table in tables)
            server.execute(f"CREATE USER {version}; {grants}")
            await _write(url.replace("shop@", f"{version}@"), number, "`")

        assert await _read_back(tmp_path, url, events) == EXPECTED
        server.execute(f"USE {name}; DROP TABLE canary_Order")
        await _write(url.replace("shop@", "v2@"), 3, "`")


def test_a_default_schema_is_stamped_at_its_root_only() -> None:
    """Visits alone are stamped; everything else descends from them, and says so in the mapping."""
    found = stamp(Policy(service="shop", kpis=dict(DEFAULT_KPIS)), "postgresql")

    assert found.statements.count("ADD COLUMN") == 1
    assert {name: event["version"] for name, event in found.events.items()} == {
        "visits": COLUMN, "carts": None, "checkouts": None, "orders": None, "payments": None, "feedback": None
    }  # fmt: skip


@pytest.mark.parametrize(("engine", "quoted"), [("postgresql", '"a""b`"."select"'), ("mysql", '`a"b```.`select`')])
def test_names_are_quoted_whatever_is_in_them(engine: str, quoted: str) -> None:
    """A quotation mark in a name ends no name."""
    events = {"orders": Event(table='a"b`.select')}
    policy = Policy(service="shop", kpis={}, database=Database(events=events))

    assert f" {quoted} " in stamp(policy, engine).statements


def test_what_cannot_be_stamped_is_said() -> None:
    """SQLite knows no users, and a SELECT without a table no row to stamp."""
    with pytest.raises(CanaryError, match="this is sqlite"):
        stamp(Policy(service="shop"), "sqlite")
    policy = Policy(service="shop", kpis={}, database=Database(events={"orders": Event(sql="SELECT 1 AS id")}))
    with pytest.raises(CanaryError, match="names no table"):
        stamp(policy, "mysql")


def test_a_long_name_leaves_room_for_what_is_added() -> None:
    """A table whose name is as long as MariaDB lets it be has a stamp table and a trigger of names that are allowed."""
    events = {"orders": Event(table="x" * 64)}
    found = stamp(Policy(service="shop", kpis={}, database=Database(events=events)), "mysql")

    names = set(re.findall(r"`(canary_[^`]+)`", found.statements))
    assert len(names) == 2
    assert max(map(len, names)) <= 64


def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands print scripts, for a policy and for a database alone, that psql takes; its mapping is a policy's.

    The command for MariaDB is given in the test on MariaDB.
    """
    monkeypatch.chdir(tmp_path)
    with Postgres() as server:
        url = server.new_database()
        address = url.replace("+asyncpg", "")
        server.execute(url, _make('"', "TIMESTAMP"))
        _policy(tmp_path, url, EVENTS)
        for_policy, for_database, psql, _ = COMMANDS
        for argv, file in ((for_policy[2:-2], "stamp.sql"), ([*for_database[2:-1], address], "proposed.sql")):
            result = CliRunner().invoke(command, argv)
            assert result.exit_code == 0, result.output
            Path(file).write_text(result.output, encoding="utf-8")
            arguments = [{"shop": address, "stamp.sql": file}.get(word, word) for word in psql]
            subprocess.run(arguments, check=True, capture_output=True)

    Path("page.yaml").write_text(f"service: shop\n{MAPPING}", encoding="utf-8")
    assert load_policy("page.yaml").database.events["orders"].version == COLUMN

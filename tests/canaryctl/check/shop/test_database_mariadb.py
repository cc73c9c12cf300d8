"""The order database as `canary check` and `canary init` see it, on a real MariaDB."""

from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from canary.policy import Policy, load_policy
from canary.prometheus import Prometheus
from canary.timing.clock import SystemClock
from canaryctl.check import Status
from canaryctl.check.clock import check_clock
from canaryctl.check.shop.database import check_database
from canaryctl.cli.init import command
from tests.support.databases.mariadb import MariaDb

Write = Callable[[str], Policy]

MAKE = (
    (
        "CREATE TABLE visits (id BIGINT PRIMARY KEY AUTO_INCREMENT, visitor_id VARCHAR(64), version VARCHAR(64)"
        ", created_at DATETIME(6))"
    ),
    (
        "CREATE TABLE orders (id BIGINT PRIMARY KEY AUTO_INCREMENT, visit_id BIGINT, version VARCHAR(64)"
        ", total DECIMAL(10,2), created_at DATETIME(6), INDEX (created_at))"
    ),
    "INSERT INTO visits (version, created_at) VALUES ('v1', NOW(6)), ('v2', NOW(6))",
    "CREATE TABLE baskets (id INT PRIMARY KEY, customer VARCHAR(9) COLLATE utf8mb4_general_ci, created_at DATETIME(6))",
    "CREATE TABLE served (unit VARCHAR(64) COLLATE utf8mb4_unicode_ci, at DATETIME(6), version TEXT, INDEX (unit))",
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A database with visits and orders."""
    with MariaDb() as server:
        address = server.new_database()
        database = address.rsplit("/", 1)[1].partition("?")[0]
        for statement in MAKE:
            server.execute(f"USE {database}; {statement}")
        yield address


def policy_text(url: str) -> str:
    """A policy that maps the two tables."""
    events = "{visits: {table: visits}, orders: {table: orders, parent: {visits: visit_id}}}"
    kpi = "{conversion_rate: {kind: conversion, from: visits, to: orders}}"
    return f"database: {{url: '{url}', events: {events}}}\nkpis: {kpi}\n"


async def test_mariadb_is_looked_at_the_same_way(write_policy: Write, url: str) -> None:
    """Columns and indexes are found; the one that is missing is named."""
    findings = await check_database(write_policy(policy_text(url)))

    assert [(finding.status, finding.remedy) for finding in findings] == [
        (Status.WARNING, "run: CREATE INDEX visits_created_at ON visits (created_at);")
    ]


async def test_a_look_up_that_the_server_refuses_is_told_with_its_remedy(write_policy: Write, url: str) -> None:
    """Customers of two collations cannot be compared; the database's word and what to do stand in one line."""
    events = "{baskets: {table: baskets, unit: customer, version: null}}"
    database = f"{{url: '{url}', events: {events}, assignments: {{table: served, time: at}}}}"

    findings = await check_database(write_policy(f"database: {database}\nkpis: {{}}\n"))

    refused = [finding for finding in findings if "collation" in finding.what]
    assert [finding.status for finding in refused] == [Status.FAILED]
    assert "one type and collation" in refused[0].remedy


async def test_mariadbs_clock_is_compared(write_policy: Write, url: str) -> None:
    """The database server's clock is one of those that must agree; a Prometheus that is down is not asked."""
    async with aiohttp.ClientSession() as http:
        findings = await check_clock(
            write_policy(policy_text(url)), Prometheus(http, "http://127.0.0.1:1"), SystemClock()
        )

    assert [(finding.place, finding.status) for finding in findings] == [("clock database", Status.OK)]


def test_init_proposes_from_mariadb(tmp_path: Path, url: str) -> None:
    """Types, keys and counts by version come from a real MariaDB."""
    output = tmp_path / "canary.yaml"

    result = CliRunner().invoke(command, ["--database", url, "--service", "shop", "--output", str(output)])

    assert result.exit_code == 0, result.output
    assert "v1: 1, v2: 1" in result.output
    assert list(load_policy(output).kpis) == ["conversion_rate", "average_order_value"]


async def test_a_kind_of_database_that_is_not_looked_into_is_said(write_policy: Write) -> None:
    """The exporter reads whatever SQLAlchemy knows; what cannot be checked here is a warning, not a failure."""
    findings = await check_database(write_policy("database: {url: 'oracle://shop@db.example/shop'}\n"))

    assert [finding.status for finding in findings] == [Status.WARNING]

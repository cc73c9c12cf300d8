"""What `canary check` says of rights, names, poolers and write-ahead files, on the real thing."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canary.policy import Policy
from canaryctl.check import Finding, Status
from canaryctl.check.shop.database import check_database
from canaryctl.check.state import check_state
from demo.shop.store import create_schema, open_engine
from exporter.source.database import Patience
from exporter.source.session import order_session
from exporter.source.watch.schema import SchemaWatch
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.pgbouncer import PgBouncer
from tests.support.databases.postgres import Postgres

Write = Callable[[str], Policy]


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    """One MariaDB for the module."""
    with MariaDb() as server:
        yield server


@pytest.fixture
async def shop(postgres: Postgres) -> str:
    """The default schema in PostgreSQL; its address as the shop's owner."""
    url = postgres.new_database()
    engine = open_engine(url)
    await create_schema(engine)
    await engine.dispose()
    return url


def as_reader(postgres: Postgres, url: str, *rights: str) -> str:
    """The address as a user of its own, `Canary`, who has these rights."""
    make = 'DO $$ BEGIN CREATE ROLE "Canary" LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$'
    postgres.execute(url, make, *rights)
    return url.replace("shop@", "Canary@")


def said(findings: list[Finding]) -> list[tuple[Status, str, str]]:
    """Findings without their place."""
    return [(finding.status, finding.what, finding.remedy) for finding in findings]


async def test_a_table_that_may_not_be_read_fails(write_policy: Write, postgres: Postgres, shop: str) -> None:
    """The catalogue shows every column; reading one row shows who may read it, and the remedy is a statement."""
    grants = ('GRANT SELECT ON ALL TABLES IN SCHEMA public TO "Canary"', 'REVOKE SELECT ON payments FROM "Canary"')
    url = as_reader(postgres, shop, *grants)
    policy = write_policy(f"database: {{url: '{url}'}}\n")

    found = await check_database(policy)
    postgres.execute(shop, found[0].remedy.removeprefix("run: ").rstrip(";"))

    assert [(finding.status, finding.remedy) for finding in found] == [
        (Status.FAILED, 'run: GRANT SELECT ON payments TO "Canary";')
    ]
    assert "permission denied for table payments" in found[0].what
    assert [finding.status for finding in await check_database(policy)] == [Status.OK]


async def test_columns_that_are_granted_alone_are_enough(write_policy: Write, postgres: Postgres, shop: str) -> None:
    """A user who may read the mapped columns and no others is a good one."""
    url = as_reader(postgres, shop, 'GRANT SELECT (id, version, created_at) ON visits TO "Canary"')
    text = f"database: {{url: '{url}', events: {{visits: {{table: visits}}}}}}\n"

    found = await check_database(write_policy(text))

    assert [finding for finding in found if "events.visits" in finding.what] == []


async def test_rows_that_are_hidden_are_said(write_policy: Write, postgres: Postgres, shop: str) -> None:
    """Row-level security is no error to the exporter, which would publish zeros: check fails, and prints the cure."""
    rows = (
        "INSERT INTO visits (id, visitor_id, version, created_at) VALUES (1, 'a', 'v1', now())",
        "INSERT INTO carts (id, visit_id, version, created_at, checkout_started_at) VALUES (1, 1, 'v1', now(), now())",
        (
            "INSERT INTO orders (id, visit_id, cart_id, version, status, total, currency, created_at)"
            " VALUES (1, 1, 1, 'v1', 'paid', 1, 'EUR', now())"
        ),
    )
    rights = ('GRANT SELECT ON ALL TABLES IN SCHEMA public TO "Canary"', "ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
    url = as_reader(postgres, shop, *rights, *rows)
    policy = write_policy(f"database: {{url: '{url}'}}\n")

    hidden = await check_database(policy)
    postgres.execute(shop, hidden[0].remedy.removeprefix("show it all: ").rstrip(";"))
    shown = await check_database(policy)

    assert [finding.status for finding in hidden] == [Status.FAILED]
    assert "orders shows this user no row, as row-level security is on" in hidden[0].what
    assert [finding.status for finding in shown] == [Status.WARNING]


async def test_printed_statements_have_their_names_quoted(write_policy: Write, postgres: Postgres) -> None:
    """Prisma's tables, reserved words and other schemas: what check prints can be run, and heals."""
    url = postgres.new_database()
    postgres.execute(
        url,
        'CREATE TABLE "Order" (id int PRIMARY KEY, visit int, version text, "createdAt" timestamptz)',
        'CREATE SCHEMA "Sales"',
        'CREATE TABLE "Sales"."user" (id int PRIMARY KEY, version text, "when" timestamptz)',
    )
    events = "orders: {table: Order, parent: {visits: visit}, time: createdAt}, visits: {table: Sales.user, time: when}"
    policy = write_policy(_only(url, events))

    found = await check_database(policy)
    for finding in found:
        postgres.execute(url, finding.remedy.removeprefix("run: ").rstrip(";"))

    assert sorted(finding.remedy for finding in found) == [
        'run: CREATE INDEX "Order_createdAt" ON "Order" ("createdAt");',
        'run: CREATE INDEX "Sales_user_when" ON "Sales"."user" ("when");',
    ]
    assert [finding.status for finding in await check_database(policy)] == [Status.OK]
    unqualified = await check_database(write_policy(_only(url, "visits: {table: user, time: when}")))
    assert "did you mean 'Sales.user'?" in [finding.remedy for finding in unqualified]


async def test_mariadbs_views_and_least_rights(write_policy: Write, mariadb: MariaDb) -> None:
    """A view that may be read and not shown, a table of which two columns may be read, and a reserved word."""
    admin = mariadb.new_database()
    name = admin.rsplit("/", 1)[1]
    user = f"least{name}"
    mariadb.execute(
        f"USE {name}; CREATE TABLE base (id INT PRIMARY KEY, version VARCHAR(9), created_at DATETIME, secret INT);"
        "CREATE TABLE `order` (id INT PRIMARY KEY, visit INT, version VARCHAR(9), created_at DATETIME, secret INT);"
        "CREATE VIEW sessions AS SELECT id, version, created_at FROM base;"
        f"CREATE USER {user}@'127.0.0.1'; GRANT SELECT ON sessions TO {user}@'127.0.0.1';"
        f"GRANT SELECT (id, visit, version, created_at) ON `order` TO {user}@'127.0.0.1'"
    )
    url = admin.replace("shop@", f"{user}@")
    policy = write_policy(_only(url, "visits: {table: sessions}, orders: {table: order, parent: {visits: visit}}"))

    found = await check_database(policy)
    async with order_session(policy, Patience.LIVE) as session:
        watch = SchemaWatch(policy, session)
        await watch.look()
        before = watch.problems
        mariadb.execute(f"ALTER TABLE {name}.`order` MODIFY created_at VARCHAR(40)")
        await watch.look()

    assert said(found) == [
        (
            Status.WARNING,
            "order.created_at has no index, every look of the exporter reads the whole table",
            "run: CREATE INDEX order_created_at ON `order` (created_at);",
        )
    ]
    hidden = await check_database(
        write_policy(_only(url, "visits: {table: base}, orders: {table: order, parent: {visits: secret}}"))
    )
    assert [finding.what for finding in hidden if finding.status is Status.FAILED] == [
        "database.events.visits.table: no table or view 'base' that this user may read",
        "database.events.orders.parent.visits: order has no column 'secret' that this user may read",
    ]
    assert before == ()
    assert watch.problems == ("column order.created_at was time and is now text",)


async def test_a_write_ahead_file_whose_folder_may_not_be_written_is_a_warning(
    write_policy: Write, shop_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read while the shop has it open, and will not be when nobody has: said before it happens."""
    with sqlite3.connect(shop_database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    policy = write_policy("database: {url: sqlite:///shop.db}\n")
    fine = await check_database(policy)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: Path(path) != shop_database.parent)
        found = await check_database(policy)
    connection.close()

    assert [finding.status for finding in fine] == [Status.OK]
    assert found[0].status is Status.WARNING
    assert "only while the shop keeps it open" in found[0].what
    assert "have the shop keep one connection open" in found[0].remedy


@pytest.mark.parametrize(("mode", "status"), [("transaction", Status.FAILED), ("session", Status.OK)])
async def test_a_journal_behind_a_pooler_needs_sessions(
    write_policy: Write, postgres: Postgres, mode: str, status: Status
) -> None:
    """In transaction mode no receiver can lead: the check says so, and which address is needed."""
    async with PgBouncer(postgres, mode) as pooler:
        url = pooler.url(postgres.new_database())
        found = await check_state(write_policy(f"state: {{url: '{url}'}}\n"))

    assert found[0].status is status
    if status is Status.FAILED:
        assert (
            found[0].remedy == "write a direct address of PostgreSQL, or that of a pool in session mode, in state.url"
        )


async def test_an_order_database_behind_a_pooler_is_fine(write_policy: Write, postgres: Postgres, shop: str) -> None:
    """The exporter needs no session of its own."""
    async with PgBouncer(postgres, "transaction") as pooler:
        found = await check_database(write_policy(f"database: {{url: '{pooler.url(shop)}'}}\n"))

    assert [finding.status for finding in found] == [Status.OK], said(found)


@pytest.mark.parametrize(
    "parameters",
    ["sslmode=require", "sslmode=verify-full&sslrootcert=/etc/ssl/db.crt", "connect_timeout=10", "nonsense=1"],
)
async def test_no_address_ends_in_a_traceback(write_policy: Write, parameters: str) -> None:
    """Each of the usual parameters gives one finding, of one line, without the password."""
    found = await check_database(
        write_policy(f"database: {{url: 'postgresql://u:hunter2@127.0.0.1:1/s?{parameters}'}}\n")
    )

    assert [finding.status for finding in found] == [Status.FAILED]
    assert "\n" not in str(found[0])
    assert "hunter2" not in str(found[0])


def _only(url: str, events: str) -> str:
    """A policy with these events and no others' tables."""
    kpi = "{conversion_rate: {kind: conversion, from: visits, to: orders}}"
    return f"database: {{url: '{url}', events: {{{events}}}}}\nkpis: {kpi}\n"

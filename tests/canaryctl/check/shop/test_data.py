"""What `canary check --data` tells of rows that no catalogue shows, each at its line of the policy."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from canary.finding import Finding, Status
from canary.policy import load_policy
from canary.policy.reading.document import read_document
from canaryctl.check.shop.data import check_data
from canaryctl.check.shop.plans import expensive
from canaryctl.cli.check import command
from exporter.source.database import Patience
from exporter.source.dialects import Dialect
from exporter.source.session import order_session
from exporter.source.streams import fitted, streams_of
from tests.support.clock import FakeClock
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.postgres import Postgres

_TABLES = """
CREATE TABLE visits (id INTEGER PRIMARY KEY, version TEXT, at TEXT, visitor_id TEXT);
CREATE TABLE orders (id INTEGER, visit_id INTEGER, version TEXT, status TEXT, total REAL, at TEXT, touched TEXT);
CREATE INDEX visits_at ON visits (at); CREATE INDEX orders_at ON orders (at);
"""
_POLICY = """service: shop
database:
  url: sqlite:///shop.db
  events:
    visits: {table: visits, time: at, unit: visitor_id}
    orders:
      table: orders
      time: at
      parent: {visits: visit_id}
      outcome: status
      succeeded: [paid]
kpis:
  conversion_rate: {kind: conversion, from: visits, to: orders}
  payment_success_rate: {kind: success, of: orders}
"""
_MINUTES = 100
"""Minutes of rows, one each."""


def _fill(folder: Path, clock: FakeClock, change: str) -> None:
    """A visit and its paid order in every minute, the last a minute ago, and then the change."""
    engine = sa.create_engine(f"sqlite:///{folder / 'shop.db'}")
    with engine.begin() as connection:
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.exec_driver_sql(statement)
        for number in range(1, _MINUTES + 1):
            at = f"{clock.now() - timedelta(minutes=_MINUTES + 1 - number):%Y-%m-%d %H:%M:%S}"
            connection.exec_driver_sql("INSERT INTO visits VALUES (?, 'v1', ?, ?)", (number, at, f"c{number}"))
            values = (number, number, "v1", "paid", 9.5, at, at)
            connection.exec_driver_sql("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        for statement in filter(str.strip, change.split(";")):
            connection.exec_driver_sql(statement)
    engine.dispose()


async def _look(folder: Path, clock: FakeClock, text: str = _POLICY) -> list[Finding]:
    path = folder / "canary.yaml"
    path.write_text(text, encoding="utf-8")
    policy = load_policy(path)
    async with order_session(policy, Patience.STUDY) as session:
        return await check_data(policy, session, clock, read_document(path))


async def test_a_sound_mapping_is_told_what_was_seen(tmp_path: Path, clock: FakeClock) -> None:
    """One line for each event: how fresh it is, its versions, and the classes of its outcomes."""
    _fill(tmp_path, clock, "")

    findings = await _look(tmp_path, clock)

    seen = "newest 100 rows: the last 1m ago, versions v1 (100)"
    assert [str(finding) for finding in findings] == [
        f"canary.yaml:5: database.events.visits: {seen}",
        f"canary.yaml:6: database.events.orders: {seen}, outcomes succeeded (100)",
    ]
    assert {finding.status for finding in findings} == {Status.OK}


@pytest.mark.parametrize(
    ("change", "place", "what", "remedy"),
    [
        (
            "UPDATE orders SET at = datetime(at, '+2 hours')",
            "canary.yaml:8: database.events.orders.time",
            "at of the newest row is 1h59m ahead: the shop's times are not in UTC",
            "database.timezone",
        ),
        (
            "UPDATE orders SET at = datetime(at, '-5 hours')",
            "canary.yaml:8: database.events.orders.time",
            "the newest row is 5h1m old, and one came every 1m before that",
            "its times are not in UTC",
        ),
        (
            "UPDATE orders SET at = datetime(at, '-20 days')",
            "canary.yaml:8: database.events.orders.time",
            "the newest row is 20d1m old",
            "the time column in use",
        ),
        (
            "UPDATE orders SET at = datetime(at, '+3 years')",
            "canary.yaml:8: database.events.orders.time",
            "ahead: it is no time at which something happened",
            "written once",
        ),
        (
            "UPDATE orders SET at = date(at)",
            "canary.yaml:8: database.events.orders.time",
            "at holds days without a time",
            "the time of day",
        ),
        (
            "UPDATE orders SET id = id / 2",
            "canary.yaml:6: database.events.orders.id",
            "ids (id) are there more than once",
            "join one row only",
        ),
        (
            "UPDATE orders SET status = 'unpaid' WHERE id % 4 = 0",
            "canary.yaml:10: database.events.orders.outcome",
            "of the outcomes are in no class: unpaid (21)",
            "succeeded, failed or pending",
        ),
        (
            "UPDATE orders SET status = 'PAID'",
            "canary.yaml:11: database.events.orders.succeeded",
            "no outcome of the newest rows is a success; there are PAID",
            "a payment success rate of 0",
        ),
        (
            "UPDATE orders SET visit_id = visit_id + 1000 WHERE id > 70",
            "canary.yaml:9: database.events.orders.parent",
            "30% of the newest rows name a row of visits (visit_id) that is not there",
            "see what visits leaves out",
        ),
        (
            "UPDATE visits SET version = id",
            "canary.yaml:5: database.events.visits.version",
            "100 versions in 100 rows: version is no version of the shop",
            "version: null",
        ),
        (
            "UPDATE visits SET version = NULL WHERE id % 4 = 0",
            "canary.yaml:5: database.events.visits.version",
            "25% of the newest 100 rows name no version, expected at most 20%",
            "so many hold a rollout",
        ),
        (
            "UPDATE visits SET version = x'ff' WHERE id = 7",
            "canary.yaml:5: database.events.visits",
            "Could not decode to UTF-8",
            "the exporter leaves out such a value and reads on",
        ),
        (
            "UPDATE visits SET visitor_id = CASE id % 10 WHEN 0 THEN NULL WHEN 5 THEN ' ' ELSE visitor_id END",
            "canary.yaml:5: database.events.visits.unit",
            "20% of the newest 100 rows name no customer (visitor_id is NULL or empty), expected at most 5%",
            "each of these rows counts as a customer",
        ),
        (
            "UPDATE visits SET visitor_id = NULL WHERE id > 40",
            "canary.yaml:5: database.events.visits.unit",
            "60% of the newest 100 rows name no customer",
            "proven harm only holds",
        ),
        ("DELETE FROM visits", "canary.yaml:5: database.events.visits.table", "there are no rows", "the table in use"),
    ],
)
async def test_what_rows_tell(  # the parameters are one case
    change: str, place: str, what: str, remedy: str, tmp_path: Path, clock: FakeClock
) -> None:
    """Each thing that is wrong with the rows stands at the line that it is about, with what to do."""
    _fill(tmp_path, clock, change)

    findings = await _look(tmp_path, clock)

    assert [
        finding for finding in findings
        if finding.place == place and what in finding.what and remedy in finding.remedy
    ], findings  # fmt: skip


async def test_a_shop_near_its_floor_is_told_so(tmp_path: Path, clock: FakeClock) -> None:
    """A floor that the shop's own payments hardly reach would hold every rollout; one far below them is fine."""
    _fill(tmp_path, clock, "UPDATE orders SET status = 'failed' WHERE id % 10 = 0")

    near, far = [
        await _look(tmp_path, clock, _POLICY.replace("of: orders}", f"of: orders, floor: {floor}}}"))
        for floor in ("89%", "70%")
    ]

    [finding] = [one for one in near if one.status is Status.WARNING]
    assert finding.place == "canary.yaml:14: kpis.payment_success_rate.floor"
    assert finding.what.endswith("outcomes are a success, near the floor of 89%")
    assert all(one.status is Status.OK for one in far)


async def test_a_settled_that_later_changes_move_is_told(tmp_path: Path, clock: FakeClock) -> None:
    """A column that the shop writes at each change of the row settles every row again."""
    _fill(tmp_path, clock, "UPDATE orders SET touched = datetime(at, '+40 minutes') WHERE id < 40")

    findings = await _look(
        tmp_path, clock, _POLICY.replace("outcome: status", "outcome: status\n      settled: touched")
    )

    assert [finding.what for finding in findings if ".settled" in finding.place] == [
        "39% of the rows were settled late by touched: later changes move it"
    ]


async def test_what_may_be_pending_may_be_settled_late(tmp_path: Path, clock: FakeClock) -> None:
    """A bank transfer arrives after hours: its time is that of the outcome, and no later change has moved it."""
    _fill(tmp_path, clock, "UPDATE orders SET touched = datetime(at, '+40 minutes') WHERE id < 40")
    mapped = "outcome: status\n      settled: touched\n      pending: [authorised]"

    findings = await _look(tmp_path, clock, _POLICY.replace("outcome: status", mapped))

    assert not [finding for finding in findings if ".settled" in finding.place]


async def _plan(url: str, folder: Path, sql: str) -> str:
    path = folder / "canary.yaml"
    event = f'{{sql: "{sql}", version: null, value: total}}'
    path.write_text(
        f"service: shop\ndatabase: {{url: '{url}', events: {{orders: {event}}}}}\n"
        "kpis:\n  value: {kind: mean, of: orders}\n",
        encoding="utf-8",
    )
    policy = load_policy(path)
    async with order_session(policy, Patience.STUDY) as session:
        stream = await fitted(streams_of(policy, Dialect(session.dialect_name))[0], session)
        return await expensive(session, stream, FakeClock().now().timestamp())


_WITH_INDEX = "SELECT o.id, o.created_at, o.total FROM orders AS o JOIN shops AS s ON s.id = o.shop WHERE o.total > 0"
_WITHOUT = _WITH_INDEX.replace("o.created_at", "o.copied AS created_at")


def _statements(time: str, rows: str, last: str) -> list[str]:
    return [
        "CREATE TABLE shops (id INTEGER PRIMARY KEY)",
        f"CREATE TABLE orders (id INTEGER PRIMARY KEY, shop INTEGER, total INTEGER, created_at {time}, copied {time})",
        "CREATE INDEX at ON orders (created_at)",
        "INSERT INTO shops VALUES (1)",
        f"INSERT INTO orders SELECT {rows}",
        last,
    ]


async def test_each_database_is_asked_for_its_plan(tmp_path: Path) -> None:
    """An own SELECT that an index serves costs little on every database; one that none serves is told."""
    old = "TIMESTAMP '2026-01-01 00:00:00'"
    with MariaDb() as mariadb, Postgres() as postgres:
        maria, postgresql = mariadb.new_database(), postgres.new_database()
        rows = f"seq, 1, 9, {old}, {old} FROM seq_1_to_5000"
        statements = [f"USE {maria.rpartition('/')[2]}", *_statements("DATETIME", rows, "ANALYZE TABLE orders")]
        mariadb.execute("; ".join(statements))
        rows = f"number, 1, 9, {old}, {old} FROM generate_series(1, 100000) AS number"
        postgres.execute(postgresql, *_statements("TIMESTAMPTZ", rows, "ANALYZE orders"))
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
        with engine.begin() as connection:
            for statement in _statements("TEXT", "1, 1, 9, '2026-01-01 00:00:00', NULL", "SELECT 1"):
                connection.exec_driver_sql(statement)
        engine.dispose()
        urls = [maria.replace("+asyncmy", ""), postgresql.replace("+asyncpg", ""), "sqlite:///shop.db"]

        assert [await _plan(url, tmp_path, _WITH_INDEX) for url in urls] == ["", "", ""]
        found = [await _plan(url, tmp_path, _WITHOUT) for url in urls]

    assert "rows of o are read by its plan" in found[0]
    assert "Seq Scan on orders" in found[1]
    assert "the whole table is read" in found[2]


def test_the_command_takes_it(tmp_path: Path, clock: FakeClock) -> None:
    """`canary check --data` says it next to what the catalogue tells."""
    _fill(tmp_path, clock, "")
    path = tmp_path / "canary.yaml"
    path.write_text(_POLICY, encoding="utf-8")

    said = CliRunner().invoke(command, ["--config.file", str(path), "--only", "database", "--data"]).output

    assert "canary.yaml:8: database.events.orders.time: the newest row is" in said


def test_what_the_catalogue_tells_stands_at_its_line_too(tmp_path: Path, clock: FakeClock) -> None:
    """A missing column is told once, at the key that names it, and its event's rows are not looked at."""
    _fill(tmp_path, clock, "ALTER TABLE orders DROP COLUMN status")
    path = tmp_path / "canary.yaml"
    path.write_text(_POLICY, encoding="utf-8")

    said = CliRunner().invoke(command, ["--config.file", str(path), "--only", "database", "--data"]).output

    assert "canary.yaml:10: database.events.orders.outcome: orders has no column 'status'" in said
    assert said.count("failed  ") == 1

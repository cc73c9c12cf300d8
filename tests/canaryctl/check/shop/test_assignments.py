"""The table of assignments as `canary check` sees it."""

from collections.abc import Callable
from pathlib import Path

from canary.policy import Policy
from canaryctl.check import Finding
from canaryctl.check.shop.database import check_database
from tests.canaryctl.check.shop.test_database import change
from tests.support.databases.postgres import Postgres

Write = Callable[[str], Policy]

_EVENTS = "  events: {orders: {table: orders, unit: visit_id, value: total, currency: currency}}\n"
_KPIS = "kpis: {average_order_value: {kind: mean, of: orders}}\n"


def _said(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.what, finding.remedy) for finding in findings]


async def _check(write_policy: Write, text: str) -> list[tuple[str, str]]:
    policy = write_policy(f"database:\n  url: sqlite:///shop.db\n{_EVENTS}  {text}\n{_KPIS}")
    return _said(await check_database(policy))


async def test_faults_of_the_table_are_named_with_a_remedy(write_policy: Write, shop_database: Path) -> None:
    """A table or column that is not there, one without an index, one without rows, and then none of these."""
    missing = await _check(write_policy, "assignments: {table: serverd}")
    url = f"sqlite+aiosqlite:///{shop_database}"
    await change(url, "CREATE TABLE served (unit INTEGER, at TEXT, version TEXT)")
    column = await _check(write_policy, "assignments: {table: served}")
    slow = await _check(write_policy, "assignments: {table: served, time: at}")
    await change(url, slow[0][1].removeprefix("run: "), "INSERT INTO served VALUES (1, '2026-01-01', 'v1')")
    fine = await _check(write_policy, "assignments: {table: served, time: at}")

    assert missing[0][0] == "database.assignments.table: no table or view 'serverd'"
    assert column[0] == ("database.assignments.time: served has no column 'time'", "there are at, unit, version")
    assert [what for what, _ in slow] == [
        "served.unit has no index, every row's look-up reads the whole table",
        "database.assignments: there are none, so that every row's version is unknown",
    ]
    assert [what for what, _ in fine] == ["reachable, 1 events mapped, every column there and indexed"]


async def test_faults_of_identities_are_named(write_policy: Write, shop_database: Path) -> None:
    """A table that is not there, one that is slow to look in and empty, and pairs that no event asks for."""
    url = f"sqlite+aiosqlite:///{shop_database}"
    missing = await _check(write_policy, "identities: {accounts: {table: logins}}")
    await change(url, "CREATE TABLE logins (unit TEXT, known_as INTEGER)")
    slow = await _check(write_policy, "identities: {accounts: {table: logins}}")

    assert missing[0][0] == "database.identities.accounts.table: no table or view 'logins'"
    assert [what for what, _ in slow][:3] == [
        "logins.known_as has no index, every row's look-up reads the whole table",
        "database.identities.accounts: there are none, so that no customer is found by them",
        "database.identities.accounts: no event says it",
    ]


async def test_tables_of_another_database_are_looked_at_there(write_policy: Write, shop_database: Path) -> None:
    """There they are read by their times, so that these want an index; where the events are nothing is missed."""
    elsewhere = (
        "sources: {web: {url: sqlite:///web.db}}, assignments: {table: served, source: web},"
        " identities: {accounts: {table: logins, source: web, time: at}},"
        " events: {orders: {table: orders, unit: visit_id, identity: accounts, value: total, currency: currency}}"
    )
    url = f"sqlite+aiosqlite:///{shop_database.with_name('web.db')}"
    await change(
        url,
        "CREATE TABLE served (unit TEXT, time TEXT, version TEXT)",
        "INSERT INTO served VALUES ('a', '2026-01-01', 'v1')",
    )
    policy = write_policy(f"database: {{url: sqlite:///shop.db, {elsewhere}}}\n{_KPIS}")
    missing = _said(await check_database(policy))
    await change(
        url,
        "CREATE TABLE logins (unit TEXT, known_as TEXT, at TEXT)",
        "INSERT INTO logins VALUES ('a', 1, '2026-01-01')",
    )
    slow = _said(await check_database(policy))
    await change(url, *(remedy.removeprefix("run: ") for _, remedy in slow[1:]))
    fine = _said(await check_database(policy))

    assert [what for what, _ in missing][1:] == [
        "served.time has no index, every row's look-up reads the whole table",
        "database.identities.accounts.table: no table or view 'logins'",
    ]
    assert [what for what, _ in slow][1:] == [
        "served.time has no index, every row's look-up reads the whole table",
        "logins.at has no index, every row's look-up reads the whole table",
    ]
    assert [what for what, _ in fine] == [
        "reachable, 1 events mapped, every column there and indexed",
        "reachable, 0 events mapped, every column there and indexed",
    ]


async def test_events_whose_version_nothing_tells_are_named(write_policy: Write, shop_database: Path) -> None:
    """A mapping may be read before versions are known; what cannot be judged by then is said."""
    text = "database: {url: sqlite:///shop.db, events: {orders: {table: orders, version: null, value: total}}}\n"

    findings = _said(await check_database(write_policy(text + _KPIS)))

    assert findings[0][0].startswith("no version is known of any row of orders")


async def test_a_missing_version_column_need_not_be_added(write_policy: Write, shop_database: Path) -> None:
    """Whoever has no column for the version is told that none is needed."""
    await change(f"sqlite+aiosqlite:///{shop_database}", "ALTER TABLE orders DROP COLUMN version")

    findings = _said(await check_database(write_policy("database: {url: sqlite:///shop.db}\n")))

    assert "orders has no column 'version'" in findings[0][0]
    assert "version: null" in findings[0][1]


async def test_what_cannot_be_compared_is_told(write_policy: Write, postgres: Postgres) -> None:
    """Times of two kinds in a zone that is not UTC; a unit that is a number here and a text there can be compared."""
    url = postgres.new_database()
    await change(
        url,
        "CREATE TABLE orders (id INT PRIMARY KEY, visit_id INT, total INT, currency TEXT, created_at TIMESTAMP)",
        "CREATE TABLE served (unit TEXT, at TIMESTAMPTZ, version TEXT)",
        "CREATE INDEX ON served (unit)",
        "CREATE INDEX ON orders (created_at)",
        "INSERT INTO served VALUES ('1', now(), 'v1')",
    )
    events = _EVENTS + "  timezone: Europe/Berlin\n"
    text = f"database:\n  url: {url}\n{events}  assignments: {{table: served, time: at}}\n{_KPIS}"

    said = _said(await check_database(write_policy(text.replace("+asyncpg", ""))))

    told = ["database.assignments.time: at holds moments, created_at of orders times without a zone"]
    assert [what for what, _ in said] == told


async def test_a_parent_that_is_slow_to_find_is_named(write_policy: Write, shop_database: Path) -> None:
    """Where rows inherit their version, the key of those that they name needs an index."""
    url = f"sqlite+aiosqlite:///{shop_database}"
    await change(
        url,
        "CREATE TABLE bought (number TEXT, visit_id INTEGER, version TEXT, total REAL, currency TEXT, created_at TEXT)",
        "CREATE TABLE paid (id INTEGER PRIMARY KEY, number TEXT, version TEXT, status TEXT, created_at TEXT)",
        "CREATE INDEX bought_at ON bought (created_at)",
        "CREATE INDEX paid_at ON paid (created_at)",
    )
    found = []
    for version in ("null", "version"):
        paid = f"payments: {{table: paid, parent: {{orders: number}}, version: {version}, outcome: status}}"
        policy = write_policy(
            f"database:\n  url: sqlite:///shop.db\n  events: {{orders: {{table: bought, id: number}}, {paid}}}\n"
            "kpis: {payment_success_rate: {kind: success, of: payments}}\n"
        )
        found.append(_said(await check_database(policy)))

    assert found[0][0] == (
        "bought.number has no index, every look of the exporter reads the whole table",
        "run: CREATE INDEX bought_number ON bought (number);",
    )
    assert [what for what, _ in found[1]] == ["reachable, 2 events mapped, every column there and indexed"]

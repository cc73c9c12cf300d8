"""What `canary check` says of rows: which may not be read, which times are none, what is never joined."""

from collections.abc import Callable
from pathlib import Path

import pytest

from canary.policy import Policy
from canaryctl.check import Finding, Status
from canaryctl.check.shop.database import check_database
from tests.canaryctl.check.shop.test_database import change, failures
from tests.support.databases.postgres import Postgres

Write = Callable[[str], Policy]

_SHOP = (
    (
        "CREATE TABLE visits(id bigserial PRIMARY KEY, visitor_id text, version text"
        ", created_at timestamptz NOT NULL DEFAULT now())"
    ),
    (
        "CREATE TABLE orders(id bigserial PRIMARY KEY, visit_id bigint, version text, total numeric(12,2)"
        ", created_at timestamptz NOT NULL DEFAULT now())"
    ),
    "CREATE INDEX ON visits(created_at)",
    "CREATE INDEX ON orders(created_at)",
    "INSERT INTO visits(version) SELECT 'v1' FROM generate_series(1, 20)",
    "INSERT INTO orders(visit_id, version, total) SELECT i, 'v1', 10 FROM generate_series(1, 8) i",
)
_POLICY = """
database:
  url: {url}
  events:
    visits: {{table: visits}}
    orders: {{table: orders, parent: {{visits: visit_id}}, value: total}}
kpis:
  conversion_rate: {{kind: conversion, from: visits, to: orders, action: rollback}}
"""


def _texts(findings: list[Finding]) -> list[str]:
    return [f"{finding.status.value}: {finding.what}; {finding.remedy}" for finding in findings]


async def _checked(postgres: Postgres, write: Write, *statements: str, user: str = "shop") -> list[Finding]:
    url = postgres.new_database()
    await change(url, *_SHOP, *statements)
    address = url.replace("+asyncpg", "").replace("shop@", f"{user}@")
    return await check_database(write(_POLICY.format(url=address)))


async def test_a_healthy_shop_has_nothing_to_tell(postgres: Postgres, write_policy: Write) -> None:
    """Rows that are read, timed and joined are ok."""
    assert [finding.status for finding in await _checked(postgres, write_policy)] == [Status.OK]


async def test_a_missing_grant_is_found(postgres: Postgres, write_policy: Write) -> None:
    """The catalogue shows the table to everybody; reading one row shows that this user may not."""
    role = "CREATE ROLE granted LOGIN"
    findings = await _checked(postgres, write_policy, role, "GRANT SELECT ON visits TO granted", user="granted")

    (found,) = failures(findings)
    assert "database.events.orders: " in found
    assert "permission denied for table orders" in found
    assert "GRANT SELECT" in found


async def test_rows_that_row_level_security_hides_are_found(postgres: Postgres, write_policy: Write) -> None:
    """Without a policy of its own the user sees an empty table and no error."""
    grant = "GRANT SELECT ON visits, orders TO secured"
    statements = ("CREATE ROLE secured LOGIN", grant, "ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
    findings = await _checked(postgres, write_policy, *statements, user="secured")

    (found,) = failures(findings)
    assert "database.events.orders: orders shows this user no row, as row-level security is on" in found


async def test_a_parent_that_is_never_found_is_told(postgres: Postgres, write_policy: Write) -> None:
    """Eight orders, none of whose visits is there: the columns do not hold the same key."""
    findings = await _checked(postgres, write_policy, "UPDATE orders SET visit_id = visit_id + 1000")

    (found,) = failures(findings)
    assert "database.events.orders.parent: no visit_id of the newest 8 rows is the id of one of visits" in found


async def test_other_spellings_of_a_key_are_joined(postgres: Postgres, write_policy: Write) -> None:
    """A text of digits is the number, for the check as for the exporter."""
    findings = await _checked(postgres, write_policy, "ALTER TABLE orders ALTER visit_id TYPE text")

    assert failures(findings) == []


async def test_numbers_are_no_times_without_a_unit(postgres: Postgres, write_policy: Write) -> None:
    """A column of milliseconds is refused with what to write."""
    change_type = "ALTER TABLE visits ALTER created_at TYPE bigint USING 1000 * extract(epoch FROM created_at)"
    findings = await _checked(postgres, write_policy, "ALTER TABLE visits ALTER created_at DROP DEFAULT", change_type)
    (found,) = failures(findings)

    assert found == (
        "database.events.visits.time: expected times, created_at holds numbers; say in which unit they count: "
        "`time_unit: seconds`, or milliseconds, microseconds"
    )


@pytest.mark.parametrize(
    ("value", "remedy"), [("1764000000000", "time_unit"), ("2461008.5", "time_unit"), ("'24.12.2026 10:00'", "`sql:`")]
)
async def test_sqlites_times_are_looked_at_row_by_row(
    write_policy: Write, shop_database: Path, value: str, remedy: str
) -> None:
    """SQLite has no types for times; what the newest rows hold decides."""
    url = f"sqlite+aiosqlite:///{shop_database}"
    await change(url, f"INSERT INTO visits (id, visitor_id, version, created_at) VALUES (1, 'a', 'v1', {value})")
    (found,) = failures(await check_database(write_policy("database: {url: sqlite:///shop.db}\n")))

    assert found.startswith("database.events.visits.time: expected times")
    assert remedy in found


async def test_a_value_that_is_no_number_is_told_by_its_shape(postgres: Postgres, write_policy: Write) -> None:
    """The row is named, what it says is not shown."""
    statements = ("ALTER TABLE orders ALTER total TYPE text", "UPDATE orders SET total = '12,50' WHERE id = 3")
    (found,) = _texts(await _checked(postgres, write_policy, *statements))

    assert found.startswith("warning: database.events.orders.value: 1 of the newest 8 rows")
    assert "the first has the id 3 and looks like '99,99'" in found

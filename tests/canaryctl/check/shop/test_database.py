"""The order database as `canary check` sees it, on real SQLite and PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from canary.policy import Policy
from canaryctl.check import Finding, Status
from canaryctl.check.shop.database import check_database
from demo.shop.store import create_schema, open_engine
from tests.support.databases.postgres import Postgres

Write = Callable[[str], Policy]


async def change(url: str, *statements: str) -> None:
    """Run statements on a database."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))
    await engine.dispose()


def failures(findings: list[Finding]) -> list[str]:
    """What failed, without the place."""
    return [f"{finding.what}; {finding.remedy}" for finding in findings if finding.status is Status.FAILED]


async def test_the_default_schema_needs_no_mapping(write_policy: Write, shop_database: Path) -> None:
    """A bare policy fits the default schema with its indexes."""
    findings = await check_database(write_policy("database: {url: sqlite:///shop.db}\n"))

    assert [finding.status for finding in findings] == [Status.OK]
    assert "6 events mapped, every column there and indexed" in findings[0].what


async def test_a_missing_index_is_named_as_the_statement_that_makes_it(
    write_policy: Write, shop_database: Path
) -> None:
    """An event's time without an index is a warning with its CREATE INDEX, and that statement heals it."""
    url = f"sqlite+aiosqlite:///{shop_database}"
    await change(url, "DROP INDEX orders_created_at", "DROP INDEX payments_settled_at")
    policy = write_policy("database: {url: sqlite:///shop.db}\n")

    findings = await check_database(policy)
    await change(url, *(finding.remedy.removeprefix("run: ") for finding in findings))

    assert [(finding.status, finding.remedy) for finding in findings] == [
        (Status.WARNING, "run: CREATE INDEX orders_created_at ON orders (created_at);"),
        (Status.WARNING, "run: CREATE INDEX payments_settled_at ON payments (settled_at);"),
    ]
    assert [finding.status for finding in await check_database(policy)] == [Status.OK]


async def test_a_wrong_name_gets_a_hint(write_policy: Write, shop_database: Path) -> None:
    """Tables and columns that are not there come with the nearest ones that are."""
    text = "database:\n  url: sqlite:///shop.db\n  events:\n"
    text += "    orders: {table: ordrs, parent: {visits: v, carts: c, checkouts: c}, value: total}\n"
    text += "    feedback: {table: feedback, value: scor}\n"
    text += "  required: [{table: visits, columns: [visitor]}]\n"

    found = failures(await check_database(write_policy(text)))

    assert found == [
        "database.events.orders.table: no table or view 'ordrs'; did you mean 'orders'?",
        "database.events.feedback.value: feedback has no column 'scor'; did you mean 'score'?",
        "database.required: visits has no column 'visitor'; did you mean 'visitor_id'?",
    ]


async def test_an_events_own_statement_is_tried(write_policy: Write, shop_database: Path) -> None:
    """A SELECT is run without a row, and must give the columns that the event maps."""
    text = "database:\n  url: sqlite:///shop.db\n  events:\n"
    text += "    feedback: {sql: 'SELECT id, created_at, version FROM feedback', value: score}\n"
    text += "    visits: {sql: 'SELECT nonsense FROM visits'}\n"

    found = sorted(failures(await check_database(write_policy(text))))

    assert found[0].startswith("database.events.feedback.value: the statement gives no column 'score'")
    assert "no such column: nonsense" in found[1]


async def test_a_database_that_is_not_there_is_a_failure_without_its_password(write_policy: Write) -> None:
    """The message names server and remedy, never the password."""
    text = "database: {url_env: ORDERS}\n"
    policy = write_policy(text)

    missing = failures(await check_database(policy))
    unreachable = failures(
        await check_database(write_policy("database: {url: 'postgresql://u:hunter2@127.0.0.1:1/shop'}\n"))
    )

    assert "the environment variable ORDERS is not set or empty" in missing[0]
    assert "see that the database runs" in unreachable[0]
    assert "hunter2" not in unreachable[0]


async def test_a_sqlite_file_is_not_made_by_looking(write_policy: Write, tmp_path: Path) -> None:
    """A missing file is a failure and stays missing."""
    found = failures(await check_database(write_policy("database: {url: sqlite:///shop.db}\n")))

    assert found == ["there is no such file; correct database.url; relative paths start at the policy"]
    assert not (tmp_path / "shop.db").exists()


async def test_a_policy_without_a_database_skips_it(write_policy: Write) -> None:
    """What the policy does not name is not a failure."""
    assert [finding.status for finding in await check_database(write_policy(""))] == [Status.SKIPPED]


async def test_postgresql_is_looked_at_the_same_way(write_policy: Write, postgres: Postgres) -> None:
    """Schemas, views and a missing index on a real PostgreSQL."""
    url = postgres.new_database()
    engine = open_engine(url)
    await create_schema(engine)
    await engine.dispose()
    await change(url, "DROP INDEX carts_created_at", "CREATE VIEW sessions AS SELECT * FROM visits")
    text = f"database:\n  url: {url}\n  events: {{visits: {{table: public.sessions}}}}\n"

    findings = await check_database(write_policy(text))

    assert [(finding.status, finding.remedy) for finding in findings] == [
        (Status.WARNING, "run: CREATE INDEX carts_created_at ON carts (created_at);")
    ]


async def test_a_missing_database_on_a_running_server_says_so(write_policy: Write, postgres: Postgres) -> None:
    """PostgreSQL's own words are kept."""
    url = postgres.new_database().replace("/test", "/nowhere")

    found = failures(await check_database(write_policy(f"database: {{url: '{url}'}}\n")))

    assert "does not exist" in found[0]

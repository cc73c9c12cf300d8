"""The session with the order database: it only reads, it is bounded in time, and it survives what goes wrong."""

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from canary.errors import DatabaseError, DatabaseSchemaError, DatabaseTimeoutError, DatabaseUnavailableError
from exporter.source.database import OrderDatabase, Session
from exporter.source.session import open_session
from tests.support.databases.shopdata import ShopData
from tests.support.programs.ports import free_port

_ENDLESS = {
    "postgresql": "SELECT pg_sleep(30)",
    "mysql": "SELECT SLEEP(30) FROM information_schema.tables",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
}


def session_on(url: URL, limit_seconds: float, timezone: str = "UTC") -> Session:
    """A session with a database, as a policy with this limit and zone opens it."""
    return open_session(OrderDatabase(url, timezone, limit_seconds))


async def test_it_cannot_write(data: ShopData) -> None:
    """Whatever rights the user has, the session refuses to write."""
    session = session_on(make_url(data.url), 5)
    try:
        with pytest.raises(DatabaseError):
            await session.rows(sa.text("INSERT INTO visits (id, version) VALUES (1, 'x')"))
        assert (await session.rows(sa.text("SELECT count(*) FROM visits")))[0][0] == 0
    finally:
        await session.close()


async def test_a_statement_that_takes_too_long_is_ended_by_the_database(data: ShopData) -> None:
    """The limit holds on the server, the error is a timeout, and the session goes on."""
    url = make_url(data.url)
    session = session_on(url, 0.5)
    try:
        with pytest.raises(DatabaseTimeoutError, match="a statement took longer than 500ms, its limit"):
            await session.rows(sa.text(_ENDLESS[url.get_backend_name()]))
        assert (await session.rows(sa.text("SELECT 1")))[0][0] == 1
    finally:
        await session.close()


async def test_odd_rows_are_no_lines_of_the_log(mariadb_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A server that warns of each, as MySQL does whoever asks, writes nothing of the shop's into our log."""
    session = session_on(make_url(mariadb_url), 5)
    try:
        await session.run(lambda connection: connection.exec_driver_sql("SET SESSION max_error_count = 64").close())
        await session.rows(sa.text("SELECT CAST('no date' AS DATE), 1 / 0, CAST('x' AS SIGNED)"))
        told = await session.rows(sa.text("SHOW WARNINGS"))
    finally:
        await session.close()

    assert "no date" in str(told)
    assert caplog.text == ""


async def test_what_is_missing_is_a_schema_error(data: ShopData) -> None:
    """A table or column that is not there is told apart from a database that is not there."""
    session = session_on(make_url(data.url), 5)
    try:
        for statement in ("SELECT 1 FROM nowhere", "SELECT missing FROM visits"):
            with pytest.raises(DatabaseSchemaError):
                await session.rows(sa.text(statement))
    finally:
        await session.close()


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "mysql+asyncmy"])
async def test_a_server_that_is_not_there_is_unavailable(driver: str) -> None:
    """Nobody listens: unavailable, without the password in the message."""
    session = session_on(make_url(f"{driver}://shop:hunter2@127.0.0.1:{free_port()}/shop"), 5)
    try:
        with pytest.raises(DatabaseUnavailableError) as caught:
            await session.rows(sa.text("SELECT 1"))
        assert "hunter2" not in str(caught.value)
    finally:
        await session.close()


async def test_an_inspection_goes_over_the_same_connection(data: ShopData) -> None:
    """Looking at the schema needs no second connection."""
    session = session_on(make_url(data.url), 5)
    try:
        tables = await session.run(lambda connection: sa.inspect(connection).get_table_names())
    finally:
        await session.close()

    assert {"visits", "carts", "orders", "payments", "feedback"} <= set(tables)

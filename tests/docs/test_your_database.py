"""The page on databases: its default tables and its read-only users are what the exporter needs."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from canary.policy import load_policy
from canaryctl.check import Status
from canaryctl.check.shop.database import check_database
from demo.shop.store import create_schema, open_engine
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.postgres import Postgres
from tests.support.documents.pages import DOCS, blocks_of

_BLOCKS = blocks_of(DOCS / "your-database.md")
_TABLES, _USERS = (block.text for block in _BLOCKS if (block.language, block.name) == ("sql", ""))
_FOR_POSTGRESQL, _FOR_MARIADB = re.split(r"^-- .+$", _USERS.replace("…", "secret"), flags=re.MULTILINE)[1:]


async def run(url: str, statements: str) -> None:
    """Give statements one after the other."""
    engine = open_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in filter(str.strip, statements.split(";")):
                await connection.execute(sa.text(statement))
    finally:
        await engine.dispose()


async def faults(folder: Path, url: str) -> list[str]:
    """What `canary check` finds wrong with a database that the default mapping must fit."""
    policy = folder / "canary.yaml"
    policy.write_text(f"service: shop\ndatabase: {{url: '{url}'}}\n", encoding="utf-8")
    return [str(one) for one in await check_database(load_policy(policy)) if one.status is Status.FAILED]


async def test_the_default_tables_need_no_mapping(tmp_path: Path) -> None:
    """Tables made exactly as the page writes them are all that the default mapping asks for."""
    await run(
        f"sqlite+aiosqlite:///{tmp_path}/shop.db", re.sub(r"^(?=\w)", ";CREATE TABLE ", _TABLES, flags=re.MULTILINE)
    )

    assert await faults(tmp_path, "sqlite:///shop.db") == []


async def _reads_only(folder: Path, owner: str, allow: Callable[[], Awaitable[None]]) -> None:
    engine = open_engine(owner)
    await create_schema(engine)
    await engine.dispose()
    await allow()
    url = owner.replace("shop@", "canary:secret@")
    (folder / "password").write_text("secret", encoding="utf-8")

    assert await faults(folder, url.replace("+asyncpg", "").replace("+asyncmy", "")) == []
    with pytest.raises(DBAPIError, match="denied"):
        await run(url, "DELETE FROM visits")


async def test_the_user_for_postgresql_may_only_read(tmp_path: Path) -> None:
    """The page's statements give a user for whom `canary check` finds no fault, and who cannot delete."""
    with Postgres() as server:
        url = server.new_database()
        await _reads_only(tmp_path, url, lambda: run(url, _FOR_POSTGRESQL))


async def test_the_user_for_mariadb_may_only_read(tmp_path: Path) -> None:
    """As on PostgreSQL."""
    with MariaDb() as server:
        url = server.new_database()

        async def allow() -> None:
            server.execute(_FOR_MARIADB.replace("shop.*", f"{url.rsplit('/', 1)[1]}.*"))

        await _reads_only(tmp_path, url, allow)


@pytest.mark.parametrize("number", range(7))
def test_fragments_fit_into_a_policy(tmp_path: Path, number: int) -> None:
    """Each piece of a policy that the page shows is taken below a service's name."""
    fragments = [block.text for block in _BLOCKS if (block.language, block.name) == ("yaml", "")]
    path = tmp_path / "canary.yaml"
    path.write_text(f"service: shop\n{fragments[number]}", encoding="utf-8")

    assert load_policy(path).service == "shop"
    assert len(fragments) == 7

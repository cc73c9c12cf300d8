"""Databases for the exporter's tests: SQLite files and real servers."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.clock import FakeClock
from tests.support.databases.mariadb import MariaDb
from tests.support.databases.postgres import Postgres
from tests.support.databases.shopdata import ShopData, shop_data

# How long an example takes says something of the machine, not of the code.
settings.register_profile("exporter", deadline=None)
settings.load_profile("exporter")


@pytest.fixture
def postgres_own() -> Iterator[Postgres]:
    """A PostgreSQL server that a test may stop."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """One MariaDB server for all tests of a worker."""
    with MariaDb() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    server: Postgres | MariaDb = request.getfixturevalue("postgres" if request.param == "postgresql" else "mariadb")
    return server.new_database()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The address of an empty PostgreSQL database."""
    return postgres.new_database()


@pytest.fixture
def mariadb_url(mariadb: MariaDb) -> str:
    """The address of an empty MariaDB database."""
    return mariadb.new_database()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that a test moves."""
    return FakeClock()


@pytest.fixture
async def data(database: str) -> AsyncIterator[ShopData]:
    """The default schema in each kind of database."""
    async with shop_data(database) as data:
        yield data


@pytest.fixture
async def lite(tmp_path: Path) -> AsyncIterator[ShopData]:
    """The default schema in SQLite, for what does not depend on the kind of database."""
    async with shop_data(f"sqlite+aiosqlite:///{tmp_path}/shop.db") as data:
        yield data

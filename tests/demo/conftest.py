"""An order database and a shop for the tests of the demo."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from canary.timing.clock import SystemClock
from demo.luck import luck
from demo.shop.flags import CheckoutFlag
from demo.shop.server import Shop
from demo.shop.store import Store, create_schema, open_engine
from tests.support.databases.postgres import Postgres

SPEED = 400.0

Client = TestClient[Request, Application]


class OpenShop(Protocol):
    """Opens one version of the shop for the length of a block."""

    def __call__(self, version: str, flag: CheckoutFlag | None = None) -> AbstractAsyncContextManager[Client]:
        """The shop's client; without a flag the checkout is the standard one."""
        ...


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that does not exist yet, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """The order database with its tables."""
    engine = open_engine(database)
    await create_schema(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
def open_shop(engine: AsyncEngine) -> OpenShop:
    """Opens one version of the shop on a free port."""

    @asynccontextmanager
    async def open_version(version: str, flag: CheckoutFlag | None = None) -> AsyncIterator[Client]:
        clock = SystemClock()
        shop = Shop(Store(engine, version, clock), version, clock=clock, random=luck(version), speed=SPEED, flag=flag)
        async with TestClient(TestServer(shop.application())) as client:
            yield client

    return open_version

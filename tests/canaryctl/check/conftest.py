"""A policy file and an order database for `canary check` to look at."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from canary.policy import Policy, load_policy
from demo.shop.store import create_schema, open_engine
from tests.support.clock import FakeClock
from tests.support.databases.postgres import Postgres


@pytest.fixture
def write_policy(tmp_path: Path) -> Callable[[str], Policy]:
    """Makes the policy of service `shop` with these further lines."""

    def write(text: str = "") -> Policy:
        path = tmp_path / "canary.yaml"
        path.write_text(f"service: shop\n{text}", encoding="utf-8")
        return load_policy(path)

    return write


@pytest.fixture
async def shop_database(tmp_path: Path) -> Path:
    """The default schema, empty, in SQLite."""
    path = tmp_path / "shop.db"
    engine = open_engine(f"sqlite+aiosqlite:///{path}")
    await create_schema(engine)
    await engine.dispose()
    return path


@pytest.fixture
def clock() -> FakeClock:
    """A clock that a test moves."""
    return FakeClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One real PostgreSQL for the session."""
    with Postgres() as server:
        yield server

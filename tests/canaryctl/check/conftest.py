"""An order database for `canary check` to look at."""

from pathlib import Path

import pytest

from demo.shop.store import create_schema, open_engine
from tests.support.clock import FakeClock


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

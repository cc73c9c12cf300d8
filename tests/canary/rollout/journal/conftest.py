"""An empty journal in each kind of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.policy.model import Policy, State
from canary.rollout.journal.journal import Journal
from tests.support.databases.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def policy(request: pytest.FixtureRequest, tmp_path: Path) -> Policy:
    """A policy whose journal is in SQLite, then in PostgreSQL."""
    url = "sqlite:///state.db"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.new_database()
    return Policy(service="shop", state=State(url=url), base=str(tmp_path))


@pytest.fixture
async def journal(policy: Policy) -> AsyncIterator[Journal]:
    """An open, empty journal."""
    async with Journal.open(policy) as opened:
        yield opened

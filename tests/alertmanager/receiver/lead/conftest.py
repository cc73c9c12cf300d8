"""A real PostgreSQL for whoever leads."""

from collections.abc import Iterator

import pytest

from tests.support.databases.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all of these, some of which stop it for a while."""
    with Postgres() as server:
        yield server

"""A real PostgreSQL for the journal."""

from collections.abc import Iterator

import pytest

from tests.support.databases.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of a worker."""
    with Postgres() as server:
        yield server

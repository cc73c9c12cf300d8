"""A real PostgreSQL for whoever leads."""

from collections.abc import Iterator

import pytest

from tests.support.databases.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of a worker that leave it running."""
    with Postgres() as server:
        yield server

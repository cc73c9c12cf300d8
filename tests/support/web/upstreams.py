"""Fixtures: the servers of both versions, for routers to stand in front of. A conftest imports them by name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.web.traffic import Upstream


@asynccontextmanager
async def _serving(version: str) -> AsyncIterator[Upstream]:
    upstream = Upstream(version)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()


@pytest.fixture
async def stable() -> AsyncIterator[Upstream]:
    """The stable version's server."""
    async with _serving("stable") as upstream:
        yield upstream


@pytest.fixture
async def canary() -> AsyncIterator[Upstream]:
    """The canary version's server."""
    async with _serving("canary") as upstream:
        yield upstream

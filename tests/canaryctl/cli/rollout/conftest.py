"""A receiver for the commands that speak with one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.receiving.receiver import Setting, receiving


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """A receiver that listens, without routers."""
    made = Setting(tmp_path / "receiver")
    async with receiving(made):
        yield made

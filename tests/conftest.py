"""What holds for all tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from canary.policy import Policy, load_policy
from tests.support.databases.postgres import Postgres

# An example's first run pays for what is made once in a process, and on a loaded machine any run may take long.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Tests that are given this long take minutes each.
_LONG_SECONDS = 600


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their place: workers must agree on names, and what was packed or signed holds a moment."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests first: whatever runs next to them is done when they are, and none is left over at the end."""
    items.sort(key=_is_short)


def _is_short(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("timeout")
    return marker is None or marker.args[0] < _LONG_SECONDS


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of a worker that leave it running."""
    with Postgres() as server:
        yield server


@pytest.fixture
def write_policy(tmp_path: Path) -> Callable[[str], Policy]:
    """Makes the policy of service `shop` with these further lines."""

    def write(text: str = "") -> Policy:
        path = tmp_path / "canary.yaml"
        path.write_text(f"service: shop\n{text}", encoding="utf-8")
        return load_policy(path)

    return write

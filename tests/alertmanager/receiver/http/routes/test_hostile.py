"""Every route, asked in ways in which nobody asks in good faith."""

import itertools
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.web.routes.table import Route
from tests.alertmanager.receiver.http.routes.test_table import TOKENS, Served, serving
from tests.support.web.hostile import answer, hostile


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A receiver with a token for every role."""
    async with serving(tmp_path / "receiver", {}) as made:
        yield made


def _headers(route: Route) -> str:
    token = f"Authorization: Bearer {TOKENS[route.role]}\r\n" if route.role in TOKENS else ""
    return token + (f"Content-Type: {route.types[0]}\r\n" if route.types else "")


async def test_no_request_is_a_fault_of_ours(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is sent to a route, also by who has its token: no 500, no traceback, at most one line in the log.

    Each route is asked in every third way, and so each way at a third of the routes.
    """
    host, asked = f"127.0.0.1:{served.setting.port}", 0
    with caplog.at_level(logging.INFO):
        for place, route in enumerate(served.table):
            path = served.url(route).removeprefix(served.setting.url)
            ways = hostile(route.method, path, host, _headers(route))
            for request in itertools.islice(ways, place % 3, None, 3):
                said = await answer(served.setting.port, request, head_only=path.endswith("/live"))
                asked += 1
                assert not re.search(rb"HTTP/1\.[01] 5|Traceback", said), (route.method, path, request.name, said)

    assert asked > 20 * len(served.table)
    assert len(caplog.records) <= asked
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
    assert await served.status(served.table[0], Authorization="") == 401  # it is still there

"""Breaking what a kept demo runs."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from canary.errors import ProcessError
from canaryctl.cli.demo import breaking
from demo.breaking import WHATS, break_it, find, remember


@pytest.fixture
def part() -> Iterator[subprocess.Popen[bytes]]:
    """A part of the stack, in a group of its own."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def test_an_outage_hits_both_versions_and_a_bad_canary_one(tmp_path: Path) -> None:
    """What is broken is told to the shops that it is about, and healed with the same words."""
    told: list[tuple[str, object]] = []

    async def faults(request: web.Request) -> web.Response:
        told.append((request.match_info["role"], await request.json()))
        return web.Response()

    application = web.Application()
    application.router.add_put("/{role}/-/faults", faults)
    async with TestServer(application) as server:
        remember(tmp_path, {role: str(server.make_url(f"/{role}")) for role in ("stable", "canary")}, {})
        await break_it(find(tmp_path), "errors", heal=False)
        await break_it(tmp_path, "provider", heal=False)
        await break_it(tmp_path, "errors", heal=True)

    broken = {"payment_failure_ratio": 0.6}
    assert told == [
        ("canary", {"error_ratio": 0.3}), ("stable", broken), ("canary", broken), ("canary", {"error_ratio": 0.0}),
    ]  # fmt: skip
    with pytest.raises(ProcessError, match="does not answer"):
        await break_it(tmp_path, "errors", heal=False)


def test_a_part_is_frozen_and_goes_on(tmp_path: Path, part: subprocess.Popen[bytes]) -> None:
    """A process that has ended meanwhile is not looked for under its old number."""
    remember(tmp_path, {}, {"haproxy": part.pid})
    asyncio.run(break_it(tmp_path, "router", heal=False))
    assert os.WIFSTOPPED(os.waitpid(part.pid, os.WUNTRACED)[1])
    asyncio.run(break_it(tmp_path, "router", heal=True))
    assert os.WIFCONTINUED(os.waitpid(part.pid, os.WCONTINUED)[1])

    part.kill()
    part.wait()
    with pytest.raises(ProcessError, match="it has ended"):
        asyncio.run(break_it(tmp_path, "router", heal=True))


def test_without_a_demo_it_says_how_to_get_one(tmp_path: Path) -> None:
    """A folder without a demo, and one whose file is damaged, are none."""
    (tmp_path / "demo.json").write_text("[1", encoding="utf-8")

    with pytest.raises(ProcessError, match="no kept demo runs"):
        find(tmp_path)


def test_the_command_knows_all_that_can_be_broken() -> None:
    """The command line names them without importing the demo."""
    (what, *_) = breaking.params
    assert tuple(getattr(what.type, "choices", ())) == WHATS

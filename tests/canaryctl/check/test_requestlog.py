"""The router's log, before anybody follows it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from canary.policy import Policy
from canaryctl.check import Status
from canaryctl.check.requestlog import check_request_log

Write = Callable[[str], Policy]
_LINE = json.dumps(
    {"ended": "1", "took": "0", "user": "u", "side": "stable", "server": "-", "status": "200", "path": "/", "agent": ""}
)
_OTHER = '192.0.2.1 - - [29/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/8"'


@pytest.mark.parametrize(
    ("lines", "status", "what"),
    [
        (None, Status.WARNING, "there is no such file"),
        ([], Status.WARNING, "there is no whole line in it yet"),
        ([_LINE] * 3, Status.OK, "newest lines: 3, all of them the router's"),
        ([_OTHER] * 2, Status.FAILED, "newest lines: 2, none of them the router's"),
        ([_LINE, _OTHER], Status.WARNING, "newest lines: 2, 1 of them not the router's"),
        ([_OTHER, "x" * 200_000, _LINE], Status.OK, "newest lines: 1, all of them the router's"),
    ],
)
async def test_what_is_in_the_log_is_told(
    lines: list[str] | None, status: Status, what: str, write_policy: Write, tmp_path: Path
) -> None:
    """Only its newest lines are read, so that what another format left there once is forgotten."""
    if lines is not None:
        (tmp_path / "access.log").write_text("".join(f"{line}\n" for line in lines) + '{"half')
    (finding,) = await check_request_log(write_policy("database: {log: {file: access.log}}\n"))
    assert (finding.status, finding.what) == (status, what)


async def test_what_is_no_file_is_told(write_policy: Write, tmp_path: Path) -> None:
    """A pipe would hold whoever opens it; a folder is no log."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        (finding,) = await check_request_log(write_policy(f"database: {{log: {{file: {name}}}}}\n"))
        assert finding.status is Status.FAILED
        assert finding.what.startswith("cannot be read (expected a regular file")


async def test_datagrams_are_the_followers_to_tell(write_policy: Write) -> None:
    """Without a file there is nothing to read, and without a log nothing at all."""
    (syslog,) = await check_request_log(write_policy("database: {log: {udp: '127.0.0.1:5140'}}\n"))
    (nothing,) = await check_request_log(write_policy(""))
    assert syslog.status is nothing.status is Status.SKIPPED
    assert "127.0.0.1:5140" in syslog.place

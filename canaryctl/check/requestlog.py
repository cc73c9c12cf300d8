"""The router's log as the follower will find it: there, readable, and in the format that `canary generate` writes."""

import os
from pathlib import Path

from canary.files import open_regular
from canary.finding import Finding, failed, ok, skipped, warning
from canary.policy import Policy
from exporter.follow.lines import Garbage, read_line

_PLACE = "database.log"
_LAST_BYTES = 128 * 1024
"""Some hundred lines of the newest."""
_WRITE_ALONE = (
    "have the router write what `canary generate` makes of `router.log`, reload it, and let nothing else write there"
)


async def check_request_log(policy: Policy) -> list[Finding]:
    """Whether a file that the router writes could be followed; of datagrams only the follower itself can tell."""
    given = policy.database.log
    if given is None:
        return [skipped(_PLACE, "the policy names none")]
    if given.file is None:
        return [
            skipped(f"{_PLACE} {given.udp or given.socket}", "no file; what comes in there `canary assignments` tells")
        ]
    path = Path(policy.base) / given.file
    place = f"{_PLACE} {path}"
    try:
        lines = _newest(path)
    except FileNotFoundError:
        return [warning(place, "there is no such file", "the router makes it when it is reloaded, or correct the path")]
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        return [failed(place, what, "let the user of `canary assignments` read it; it must be a file")]
    if not lines:
        return [
            warning(
                place, "there is no whole line in it yet", "ask the shop for a page through the router, and check again"
            )
        ]
    garbage = sum(map(_is_garbage, lines))
    if garbage == len(lines):
        return [failed(place, f"newest lines: {len(lines)}, none of them the router's", _WRITE_ALONE)]
    if garbage:
        return [warning(place, f"newest lines: {len(lines)}, {garbage} of them not the router's", _WRITE_ALONE)]
    return [ok(place, f"newest lines: {len(lines)}, all of them the router's")]


def _newest(path: Path) -> list[bytes]:
    """The newest whole lines."""
    with open_regular(path) as file:
        start = max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES)
        file.seek(start)
        data = file.read()
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    return lines[1:] if start else lines


def _is_garbage(line: bytes) -> bool:
    try:
        read_line(line, {})
    except Garbage:
        return True
    return False

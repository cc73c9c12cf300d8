"""One line of the router's log as a request.

What a client sends is in these lines, so nothing in one is trusted: a line that is no JSON object with the keys of
`canary.routers.requestlog` is garbage, which is counted and passed over. A line before its `{` has what syslog puts
there. Paths become endpoints, of which there are few: ids in a path are replaced, and what answers 404 has no name of
its own, or whoever scans a shop for weaknesses would make a series of every try.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from canary.policy.routers.slots import Slot
from canary.routers.robots import USER_AGENTS

LONGEST_BYTES = 64 * 1024
"""No router writes so long a line; one that does is garbage."""
_LONGEST_USER = 256
"""What is longer identifies nobody that the shop would know."""
_LONGEST_ENDPOINT = 64
_SEGMENTS = 2
"""So many parts of a path name an endpoint: `/checkout/payment`, `/api/cart`."""
_ENDPOINTS = 50
"""So many endpoints have series of their own, each with a histogram for each version."""
OTHER = "other"

_ROBOT = re.compile(USER_AGENTS, re.IGNORECASE)
_ID = re.compile(r"[^/]*\d[^/]*|[^/]{25,}|[^/]*[^\x21-\x7e][^/]*")
"""A part of a path that names a thing and not a kind: with a digit, long, or with what is no plain character."""
_NOBODY = frozenset({"", "-"})

Group = Literal["stable", "canary"] | Slot
"""A group of servers: by its role, or with `router.slots` by its letter, as its role changes."""
_GROUPS: dict[str, Group] = {
    "canary": "canary",
    "slot-a": "a", "trial-a": "a",
    "slot-b": "b", "trial-b": "b",
}  # fmt: skip
"""By what the generated configurations call them; what else they may be called is stable's."""


class Garbage(ValueError):  # noqa: N818  # what it is about, not that it is an error
    """A line that is none of the router's."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the router saw it.

    Attributes:
        at: when it came, seconds since the epoch, by the router's clock.
        user: what the router hashes; None where it is nobody's.
        group: whose server answered; None where no server did.
        status: HTTP status; 0 where none was sent.
        took_seconds: until the answer was sent; None where it was not.
        path: without query.
        robot: whether the user agent is a known crawler's.
        tester: whether a tester's mark let the request in, and no hash.
    """

    at: float
    user: str | None
    group: Group | None
    status: int
    took_seconds: float | None
    path: str
    robot: bool
    tester: bool = False

    @property
    def left_out(self) -> bool:
        """Whether the customer was put where they were by something else than chance."""
        return self.robot or self.tester


def read_line(line: bytes, servers: Mapping[str, Group]) -> Request:
    """What a line says.

    Args:
        line: without its end.
        servers: by address, as nginx names them, whose a server is; all others are whose the router chose.

    Raises:
        Garbage: it is no line of the router's.
    """
    start = line.find(b'{"')
    if start < 0 or len(line) > LONGEST_BYTES:
        raise Garbage
    try:
        found = json.loads(line[start:].rstrip(b"\0\r\n "))
        return _request(found, servers)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Garbage from error


def _request(found: dict[str, Any], servers: Mapping[str, Group]) -> Request:
    status = found["status"]
    user = found["user"].encode("utf-8", "replace").decode()[: _LONGEST_USER + 1].replace("\0", "")
    if "at_ms" in found:
        at, took = _number(found["at_ms"]) / 1000, _number(found["took_ms"]) / 1000
        # In the backend `canary` stable's servers stand by, so that it is the server which tells.
        named = found["server"].rstrip("0123456789")
        group = None if named == "<NOSRV>" else _GROUPS.get(named, "stable")
    else:
        took = _number(found["took"])
        at = _number(found["ended"]) - took
        last = found["server"].rpartition(", ")[2].rpartition(" : ")[2]
        group = None if last in _NOBODY else servers.get(last) or _GROUPS.get(found["side"], "stable")
    return Request(
        at=at,
        user=None if user in _NOBODY or len(user) > _LONGEST_USER else user,
        group=group,
        status=int(status) if status.isascii() and status.isdecimal() and len(status) == 3 else 0,
        took_seconds=took if took >= 0 else None,
        path=found["path"] if isinstance(found["path"], str) else "",
        robot=_ROBOT.search(found["agent"]) is not None,
        tester=found.get("tester") == "1",  # a configuration of before this key does not say
    )


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Garbage
    return number


class Endpoints:
    """Names of endpoints, bounded in number: the first that were answered keep theirs."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, request: Request) -> str:
        """The endpoint's name, `other` for what has none."""
        if request.status in (0, 400, 404, 405, 414):
            return OTHER
        parts = [part for part in request.path.split("/") if part][:_SEGMENTS]
        name = "/" + "/".join(":id" if _ID.fullmatch(part) else part for part in parts)
        if name in self._known:
            return name
        if len(self._known) >= _ENDPOINTS or len(name) > _LONGEST_ENDPOINT:
            return OTHER
        self._known.add(name)
        return name

"""One Envoy's admin interface: its runtime values, and what tells that it is another process.

The interface has no password, and can do more than change a weight (it ends the process, for one): it belongs on a unix
socket that only the receiver's user may open, or at most on the loopback address.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp

from canary.errors import RouterError, reason, shown
from canary.routers.answers import IDENTITY, ODD, body_of, json_of

_ADDRESS: Final = re.compile(r"/\S+|tcp:(?:\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}")

_LOOPBACK: Final = re.compile(r"tcp:(?:127\.[\d.]+|localhost|\[::1\]):\d+")

_UNDER_WAY: Final = ("rq_active", "rq_pending_active")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Host:
    """A server that Envoy sends requests to.

    Attributes:
        address: `host:port`.
        faults: why Envoy takes it for down; empty when it does not.
        under_way: requests that are not answered yet; a websocket is one as long as it lasts.
    """

    address: str
    faults: Sequence[str]
    under_way: int


class Admin:
    """An admin interface.

    Args:
        address: `tcp:host:port`, or a unix socket's path.
        timeout_seconds: how long an answer may take.
        place: what faults are about.

    Raises:
        RouterError: *address* is neither.
    """

    def __init__(self, address: str, timeout_seconds: float, place: str) -> None:
        if not _ADDRESS.fullmatch(address):
            raise RouterError(f"expected a path from / or `tcp:host:port`, found {address!r}", place=f"{place}: admins")
        self.address = address
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._place = f"{place}: {address}"

    @property
    def remote(self) -> bool:
        """Whether others than this host's users may reach it."""
        return self.address.startswith("tcp:") and not _LOOPBACK.fullmatch(self.address)

    async def runtime(self) -> Mapping[str, str]:
        """The runtime values in force, whatever layer they come from.

        Raises:
            RouterError: it is unreachable, or no admin interface.
        """

        def values(found: Any) -> Mapping[str, str]:
            return {str(key): str(entry["final_value"]) for key, entry in found["entries"].items()}

        return await self._asked("/runtime", {"format": "json"}, values)

    async def modify(self, values: Mapping[str, int]) -> None:
        """Change runtime values, all at once.

        Raises:
            RouterError: it is unreachable, or refused.
        """
        words = {key: str(value) for key, value in values.items()}
        await self._text("POST", "/runtime_modify", words)

    async def loaded_at(self) -> str:
        """When this process read its configuration, which no other process did at the same millisecond.

        Raises:
            RouterError: it is unreachable, or no admin interface.
        """

        def moment(found: Any) -> str:
            [bootstrap] = found["configs"]
            return str(bootstrap["last_updated"])

        return await self._asked("/config_dump", {"mask": "last_updated"}, moment)

    async def configuration(self) -> Sequence[Mapping[str, Any]]:
        """All objects in what it has loaded, however deep.

        Raises:
            RouterError: it is unreachable, or no admin interface.
        """
        return await self._asked("/config_dump", {}, lambda found: list(_objects(found["configs"])))

    async def uptime_seconds(self) -> int:
        """How long the process runs, some seconds late.

        Raises:
            RouterError: it is unreachable, or no admin interface.
        """

        def seconds(found: Any) -> int:
            [stat] = found["stats"]
            return int(stat["value"])

        return await self._asked("/stats", {"format": "json", "filter": r"^server\.uptime$"}, seconds)

    async def hosts(self, cluster: str) -> Sequence[Host]:
        """A cluster's servers.

        Raises:
            RouterError: it is unreachable, or no admin interface.
        """

        def servers(found: Any) -> Sequence[Host]:
            statuses = (status for status in found["cluster_statuses"] if status["name"] == cluster)
            return [_host(entry) for status in statuses for entry in status.get("host_statuses", ())]

        return await self._asked("/clusters", {"format": "json"}, servers)

    async def _asked(self, path: str, query: Mapping[str, str], take: Callable[[Any], T]) -> T:
        """What *take* finds in the answer's JSON."""
        text = await self._text("GET", path, query)
        try:
            return take(json_of(text))
        except ODD as error:
            what = f"{path} answered {shown(text)!r}"
            raise RouterError(what, place=self._place, remedy="name Envoy's admin interface") from error

    async def _text(self, method: str, path: str, query: Mapping[str, str]) -> bytes:
        unix = not self.address.startswith("tcp:")
        connector = aiohttp.UnixConnector(self.address) if unix else aiohttp.TCPConnector()
        url = f"http://{'localhost' if unix else self.address.removeprefix('tcp:')}{path}"
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=self._timeout) as http,
                http.request(method, url, params=query, headers=IDENTITY, allow_redirects=False) as answer,
            ):
                text = await body_of(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RouterError(f"is unreachable ({reason(error)})", place=self._place, remedy="start Envoy") from error
        if answer.status != 200:
            what = f"{path} answered {answer.status}: {shown(text)}"
            raise RouterError(what, place=self._place, remedy="use the generated envoy.yaml")
        return text


def _objects(found: Any) -> Iterator[Mapping[str, Any]]:
    """All objects within what JSON holds."""
    if isinstance(found, dict):
        yield found
    for inner in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from _objects(inner)


def _host(entry: Any) -> Host:
    socket = entry.get("address", {}).get("socket_address", {})
    states, counts = entry.get("health_status", {}), entry.get("stats", ())
    return Host(
        address=f"{socket.get('address', '')}:{socket.get('port_value', '')}",
        faults=sorted(key for key, value in states.items() if value is True),
        under_way=sum(int(stat.get("value", 0)) for stat in counts if stat.get("name") in _UNDER_WAY),
    )

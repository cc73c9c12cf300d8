"""One Envoy's admin interface: its runtime values, and what tells that it is another process.

The interface has no password, and can do more than change a weight (it ends the process, for one): it belongs on a unix
socket that only the receiver's user may open, or at most on the loopback address.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from canary.errors import RouterError, reason

_ADDRESS: Final = re.compile(r"/\S+|tcp:(?:\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}")

_LOOPBACK: Final = re.compile(r"tcp:(?:127\.[\d.]+|localhost|\[::1\]):\d+")

# A refusal is a line; of anything longer this much is told.
_SHOWN_CHARACTERS: Final = 200


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
            RouterError: it is unreachable.
        """
        found = await self._asked("/runtime", {"format": "json"}, "entries")
        return {str(key): str(entry["final_value"]) for key, entry in found.items()}

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
            RouterError: it is unreachable.
        """
        [bootstrap] = await self._asked("/config_dump", {"mask": "last_updated"}, "configs")
        return str(bootstrap["last_updated"])

    async def configuration(self) -> Any:
        """All that it has loaded.

        Raises:
            RouterError: it is unreachable.
        """
        return await self._asked("/config_dump", {}, "configs")

    async def uptime_seconds(self) -> int:
        """How long the process runs, some seconds late.

        Raises:
            RouterError: it is unreachable.
        """
        [stat] = await self._asked("/stats", {"format": "json", "filter": r"^server\.uptime$"}, "stats")
        return int(stat["value"])

    async def clusters(self) -> Any:
        """Clusters and their hosts.

        Raises:
            RouterError: it is unreachable.
        """
        return await self._asked("/clusters", {"format": "json"}, "cluster_statuses")

    async def _asked(self, path: str, query: Mapping[str, str], key: str) -> Any:
        text = await self._text("GET", path, query)
        try:
            return json.loads(text)[key]
        except (ValueError, KeyError, TypeError) as error:
            what = f"{path} answered {text[:_SHOWN_CHARACTERS]!r}"
            raise RouterError(what, place=self._place, remedy="name Envoy's admin interface") from error

    async def _text(self, method: str, path: str, query: Mapping[str, str]) -> str:
        unix = not self.address.startswith("tcp:")
        connector = aiohttp.UnixConnector(self.address) if unix else aiohttp.TCPConnector()
        url = f"http://{'localhost' if unix else self.address.removeprefix('tcp:')}{path}"
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=self._timeout) as http,
                http.request(method, url, params=query, allow_redirects=False) as answer,
            ):
                text = await answer.text()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RouterError(f"is unreachable ({reason(error)})", place=self._place, remedy="start Envoy") from error
        if answer.status != 200:
            what = f"{path} answered {answer.status}: {text[:_SHOWN_CHARACTERS].strip()}"
            raise RouterError(what, place=self._place, remedy="use the generated envoy.yaml")
        return text

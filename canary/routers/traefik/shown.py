"""What Traefik has in force, read back from the API of every instance: the same whoever gave it its configuration."""

import asyncio
from typing import Any, Literal

import aiohttp

from canary.errors import reason
from canary.routers.answers import IDENTITY, ODD, body_of, json_of
from canary.routers.base import Observation, Reading, Split
from canary.routers.traefik import config
from canary.routers.traefik.section import TraefikRouter

# Traefik needs some milliseconds for a new configuration; asked more often, it is kept from its work.
_LOOK_SECONDS = 0.02


class Shown:
    """Reads what one of Traefik's providers has brought.

    Args:
        section: the policy's `router` section of kind `traefik`.
        provider: which, by Traefik's name for it.

    Attributes:
        last: what was seen last.
    """

    def __init__(self, section: TraefikRouter, provider: Literal["file", "http"]) -> None:
        self._section = section
        self._provider = provider
        self.last = Observation(())

    async def read(self) -> Observation:
        """What each instance shows."""
        timeout = aiohttp.ClientTimeout(total=self._section.timeout)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            readings = await asyncio.gather(*(self._reading(http, api) for api in self._section.apis))
        self.last = Observation(tuple(readings))
        return self.last

    async def until(self, split: Split) -> None:
        """Return when every instance shows a split, however long it takes."""
        while True:
            if (await self.read()).agrees(split):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _reading(self, http: aiohttp.ClientSession, api: str) -> Reading:
        try:
            service = await _ask(http, f"{api}/api/http/services/{config.SPLIT}@{self._provider}", missing=None)
            if service is None:
                return await self._without(http, api)
            weight, salt = config.weight_of(service["highestRandomWeight"]["services"])
            testers = await _ask(http, f"{api}/api/http/routers/{config.TESTERS}@{self._provider}", missing={})
            process = (await _ask(http, f"{api}/api/version"))["startDate"]
        except _NO_ANSWER as error:
            return Reading(api, None, error=reason(error))
        let_in = testers.get("status") == "enabled"
        return Reading(
            api,
            weight / config.PARTS,
            salt,
            testers=let_in and weight > 0,
            testers_alone=let_in and not weight,
            process=process,
        )

    async def _without(self, http: aiohttp.ClientSession, api: str) -> Reading:
        """Where nothing divides: everybody is on stable if a route says so; whatever it had, it has lost."""
        if self._provider == "http":
            alone = await _ask(http, f"{api}/api/http/routers/{config.ALONE}@file", missing={})
            if alone.get("status") == "enabled":
                return Reading(api, 0.0)
        return Reading(api, None, error=f"has no service {config.SPLIT} of its {self._provider} provider")


_REQUIRED: Any = object()
_NO_ANSWER = (
    aiohttp.ClientError,
    TimeoutError,
    *ODD,
)
"""What comes of an API that does not answer, or of something else at its address."""


async def _ask(http: aiohttp.ClientSession, url: str, *, missing: Any = _REQUIRED) -> Any:
    async with http.get(url, headers=IDENTITY, allow_redirects=False) as answer:
        if answer.status == 404 and missing is not _REQUIRED:
            return missing
        if answer.status != 200:
            raise ValueError(f"answered {answer.status} at {url.rpartition('/api/')[2]}")
        found = json_of(await body_of(answer))
        if not isinstance(found, dict):
            raise ValueError(f"answered something else than an object at {url.rpartition('/api/')[2]}")  # noqa: TRY004  # a fault of the answer's
        return found

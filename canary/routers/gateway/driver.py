"""Drives an HTTPRoute through the Kubernetes API.

A change is a merge patch that carries the `resourceVersion` which was read: where somebody has changed the route
meanwhile, the API refuses it, and it is read and patched anew. What the API has stored is not what the Gateway does;
that is what the route's status tells, whose controller says up to which generation it has taken the route over.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from canary.certificates import tls_context
from canary.errors import RouterError, SecretError, reason, shown
from canary.finding import Finding, failed, warning
from canary.routers.answers import IDENTITY, ODD, body_of, json_of
from canary.routers.base import FINEST_RATIO, Observation, Reading, Split, TellsNothingOfServers
from canary.routers.gateway import route
from canary.routers.gateway.section import GatewayRouter
from canary.secrets import read_secret
from canary.units import format_ratio

# A controller needs tenths of a second; asked more often, the API only has more to do.
_LOOK_SECONDS: Final = 0.1

_CONFLICT: Final = 409

_UNREADABLE: Final = (RouterError, *ODD)
"""What comes of an API that does not answer, or of what is no HTTPRoute."""


class HttpRouteRouter(TellsNothingOfServers):
    """Sets the weights of an HTTPRoute.

    Args:
        section: The policy's `router` section of kind `gateway`.
    """

    finest_ratio = FINEST_RATIO

    def __init__(self, section: GatewayRouter) -> None:
        self.name = section.name
        self._section = section
        self._place = f"router {section.name}"
        path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{section.namespace}/httproutes/{section.route}"
        self._url = section.url.rstrip("/") + path
        self._instance = f"{section.namespace}/{section.route}"

    async def set_weight(self, split: Split) -> None:
        """Patch the route, and wait until its controller says that it has taken it over.

        Raises:
            RouterError: the API is unreachable or refuses, or the split is not in force in time.
        """
        seen = Observation(())
        try:
            async with asyncio.timeout(self._section.timeout):
                patched = await self._patched(split)
                while True:
                    seen = await self.read()
                    if seen.agrees(split):
                        return
                    await asyncio.sleep(_LOOK_SECONDS)
                    patched = patched or await self._patched(split)
        except TimeoutError as error:
            wanted = format_ratio(split.weight_ratio)
            what = f"expected {wanted} in force, found {seen.detail or 'no answer'}"
            raise RouterError(what, place=self._place, remedy="see the status of the HTTPRoute") from error

    async def read(self) -> Observation:
        """What the route says, once its controller has taken it over."""
        try:
            return Observation((route.reading(self._section, await self._get(), self._instance),))
        except _UNREADABLE as error:
            return Observation((Reading(self._instance, None, error=_told(error)),))

    async def check(self) -> list[Finding]:
        """An API that does not answer, a route that does not divide the Services, or that no Gateway has taken."""
        where = f"{self._place}: {self._instance}"
        try:
            found = await self._get()
            rules, testers = route.divided(self._section, found), route.testers_rules(self._section, found)
            seen = route.reading(self._section, found, self._instance) if rules else None
        except _UNREADABLE as error:
            return [failed(where, _told(error), "see that the route is there, and this account may get and patch it")]
        if seen is None:
            what = f"no rule has both Services, {self._section.stable} and {self._section.canary}"
            return [failed(where, what, "name both in its `backendRefs`, as in the generated route")]
        findings = [failed(where, seen.error, "see its status")] if seen.error else []
        if self._section.testers.header and not testers:
            findings.append(warning(where, "no rule is the testers'", "match their header in a rule, as generated"))
        return findings

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Known only where nobody or everybody is.

        Raises:
            RouterError: the Gateway draws each request anew.
        """
        if split.weight_ratio in (0.0, 1.0):
            return bool(split.weight_ratio)
        what = f"the Gateway draws each request anew: the version of {user_id!r} cannot be computed"
        raise RouterError(what, place=self._place)

    def snippet(self) -> Mapping[str, str]:
        """`gateway.yaml` (or `NAME.yaml`): a route, and the right to change it."""
        return {f"{self.name}.yaml": yaml.safe_dump_all(route.example(self._section), sort_keys=False)}

    async def _patched(self, split: Split) -> bool:
        """Whether the patch was taken; not when the route has changed since it was read."""
        try:
            patch = route.wanted(self._section, await self._get(), split)
        except ODD as error:
            raise RouterError(f"is no HTTPRoute ({reason(error)})", place=self._place) from error
        status, _ = await self._asked("PATCH", patch)
        return status != _CONFLICT

    async def _get(self) -> Any:
        return (await self._asked("GET"))[1]

    def _credentials(self) -> tuple[dict[str, str], ssl.SSLContext | bool]:
        """The account's token, which Kubernetes replaces from time to time, and what vouches for the API."""
        token = read_secret(f"{self._place}: token", file=self._section.token_file, base="")
        ca_file = self._section.ca_file
        tls = tls_context(Path(ca_file)) if ca_file is not None and self._url.startswith("https:") else True
        return {"Authorization": f"Bearer {token}"}, tls

    async def _asked(self, method: str, body: Any = None) -> tuple[int, Any]:
        try:
            headers, tls = await asyncio.to_thread(self._credentials)
            timeout = aiohttp.ClientTimeout(total=self._section.timeout)
            patch = {"Content-Type": "application/merge-patch+json"} if body is not None else {}
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.request(
                    method, self._url, json=body, headers=IDENTITY | headers | patch, ssl=tls, allow_redirects=False
                ) as answer,
            ):
                text, status = await body_of(answer), answer.status
        except TimeoutError as error:
            raise RouterError("the Kubernetes API did not answer in time", place=self._place) from error
        except SecretError as error:
            raise RouterError(f"has no token to show: {error.what}", place=self._place) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            what = f"the Kubernetes API is unreachable ({reason(error)})"
            raise RouterError(what, place=self._place) from error
        try:
            found = json_of(text)
            if status in (200, _CONFLICT):
                return status, found
            said = shown(str(found["message"]))
        except ODD:
            said = shown(text)
        raise RouterError(f"the Kubernetes API answered {status}: {said}", place=self._place)


def _told(error: Exception) -> str:
    """What is wrong, without the place, which whoever tells it says."""
    if isinstance(error, RouterError):
        return error.what
    return str(error) if isinstance(error, ValueError) else f"is no HTTPRoute ({reason(error)})"

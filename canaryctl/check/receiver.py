"""The receiver: running, and ready to act."""

from typing import Any

import aiohttp

from canary.finding import Finding, failed, ok, warning
from canary.names import API_PREFIX
from canary.policy import Policy
from canary.web.client import connector

# Enough for the reason why it is not ready; what else may answer at this address is not read to its end.
_SHOWN_BYTES = 200

# `/-/ready` asks nothing and answers in milliseconds.
_TIMEOUT_SECONDS = 5


async def check_receiver(policy: Policy) -> list[Finding]:
    """Whether the receiver answers and says it is ready.

    Raises:
        SecretError: `receiver.ca_file` cannot be used.
    """
    async with aiohttp.ClientSession(connector=connector(policy)) as http:
        return await _answer(policy.receiver.url.rstrip("/"), http)


async def _answer(url: str, http: aiohttp.ClientSession) -> list[Finding]:
    place = f"receiver {url}"
    try:
        async with http.get(f"{url}/-/ready", timeout=aiohttp.ClientTimeout(_TIMEOUT_SECONDS)) as response:
            text = (await response.content.read(_SHOWN_BYTES)).decode(errors="replace").strip()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return [failed(place, f"cannot be reached ({type(error).__name__})", "start `canary receiver`")]
    if response.status == 200:
        return [ok(place, "running and ready"), *await _frozen(place, url, http)]
    return [failed(place, f"not ready (status {response.status}): {text}", "see its log")]


async def _frozen(place: str, url: str, http: aiohttp.ClientSession) -> list[Finding]:
    """The change freeze in force, where the receiver tells a stranger; the policy's, and one that a person began."""
    try:
        async with http.get(f"{url}{API_PREFIX}/status", timeout=aiohttp.ClientTimeout(_TIMEOUT_SECONDS)) as response:
            status: Any = await response.json() if response.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return []
    freeze = status.get("freeze") if isinstance(status, dict) else None
    if not isinstance(freeze, dict):
        return []
    return [warning(place, str(freeze.get("summary")), "`canary start` and `canary advance` need --force until then")]

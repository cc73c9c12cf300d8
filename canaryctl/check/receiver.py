"""The receiver: running, and ready to act."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp

from canary.certificates import untrusted
from canary.errors import SecretError, reason
from canary.finding import Finding, failed, ok, warning
from canary.names import API_PREFIX
from canary.policy import Policy
from canary.timing.zones import in_zone, moment
from canary.web.client import CA_KEY, connector, own_token

# Enough for the reason why it is not ready; what else may answer at this address is not read to its end.
_SHOWN_BYTES = 200

# `/-/ready` asks nothing and answers in milliseconds.
_TIMEOUT_SECONDS = 5


async def check_receiver(policy: Policy) -> list[Finding]:
    """Whether the receiver answers and says it is ready.

    Raises:
        SecretError: `receiver.ca_file` cannot be used.
    """
    async with aiohttp.ClientSession(connector=connector(policy), headers=_shown(policy)) as http:
        return await _answer(policy.receiver.url.rstrip("/"), http, policy.receiver.timezone)


def _shown(policy: Policy) -> Mapping[str, str]:
    """The operator's token, which a receiver takes for the password that it may want of readers."""
    try:
        token = own_token(policy)
    except SecretError:  # told where the secrets are looked at; most receivers want nothing of readers
        token = None
    return {"Authorization": f"Bearer {token}"} if token else {}


async def _answer(url: str, http: aiohttp.ClientSession, zone: str) -> list[Finding]:
    place = f"receiver {url}"
    try:
        async with http.get(f"{url}/-/ready", timeout=aiohttp.ClientTimeout(_TIMEOUT_SECONDS)) as response:
            text = (await response.content.read(_SHOWN_BYTES)).decode(errors="replace").strip()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        remedy = untrusted(error, CA_KEY) or "start `canary receiver`"
        return [failed(place, f"cannot be reached ({reason(error)})", remedy)]
    if response.status == HTTPStatus.UNAUTHORIZED:
        remedy = "set receiver.operator_token_file as the receiver has it"
        return [failed(place, "lets nobody read without a password or an operator's token", remedy)]
    if response.status == HTTPStatus.OK:
        return [ok(place, "running and ready"), *await _told(place, url, http, zone)]
    return [failed(place, f"not ready (status {response.status}): {text}", "see its log")]


async def _told(place: str, url: str, http: aiohttp.ClientSession, zone: str) -> list[Finding]:
    """The last drill and the change freeze in force, where the receiver tells a stranger."""
    try:
        async with http.get(f"{url}{API_PREFIX}/status", timeout=aiohttp.ClientTimeout(_TIMEOUT_SECONDS)) as response:
            status: Any = await response.json() if response.status == HTTPStatus.OK else {}
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return []
    if not isinstance(status, dict):
        return []
    found = [_drilled(place, status["drill"], zone)] if "drill" in status else []
    freeze = status.get("freeze")
    if isinstance(freeze, dict):
        remedy = "`canary start` and `canary advance` need --force until then"
        found.append(warning(place, in_zone(str(freeze.get("summary")), zone), remedy))
    return found


def _drilled(place: str, last: Any, zone: str) -> Finding:
    """Whether the last drill, whenever it was, has proven that a rollback would arrive."""
    if not isinstance(last, dict):
        return warning(place, "no drill has proven that a rollback would arrive", "run `canary drill`")
    drill = f"the last drill, {in_zone(moment(str(last.get('at')), seconds=False), zone)},"
    if last.get("passed"):
        return ok(place, f"{drill} passed")
    return warning(place, f"{drill} failed: {last.get('what')}", "repair it, then run `canary drill`")

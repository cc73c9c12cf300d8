"""What a server runs, asked of the server itself.

A deployment's exit status says that a program ran; what a release hangs on is what customers get. So each server is
asked directly, past the router, by a path of the shop's own that tells the version in a header or in a JSON field.
What is unreachable is unknown, and says why: it is neither the old version nor the new one.
"""

import asyncio
from dataclasses import dataclass

import aiohttp

from canary.errors import reason, shown
from canary.policy.finish import Probe
from canary.routers.answers import IDENTITY, body_of, json_of

# A page that tells a version is short; a server that answers with a download is not read to its end.
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Served:
    """What one server said.

    Attributes:
        version: what it runs; None when that is unknown.
        fault: why it is unknown; empty when it is known.
        silent: it was asked and did not say: it may be down. Otherwise nobody could ask.
    """

    version: str | None = None
    fault: str = ""
    silent: bool = False

    def __str__(self) -> str:
        """For people: `v2.0`, or why nobody knows."""
        return self.version if self.version is not None else self.fault


async def ask(address: str, probe: Probe, session: aiohttp.ClientSession) -> Served:
    """The version that the server at an upstream's address tells; never raises for what the server does."""
    if address.startswith("unix:"):
        return Served(fault="a server behind a unix socket is not asked")
    url = f"{probe.scheme}://{address}/{probe.path.removeprefix('/')}"
    try:
        async with (
            asyncio.timeout(probe.timeout),
            session.get(url, headers=IDENTITY, allow_redirects=False) as answer,
        ):
            if not 200 <= answer.status < 300:
                return _silent(f"answered {answer.status} at {probe.path}")
            if probe.header is not None:
                return _version(answer.headers.get(probe.header), f"header {probe.header}")
            return _field(await body_of(answer, _MOST_BYTES), str(probe.json))
    except TimeoutError:
        return _silent(f"did not answer within {probe.timeout:g}s")
    except (aiohttp.ClientError, OSError) as error:
        return _silent(f"cannot be reached ({reason(error)})")
    except ValueError as error:
        return _silent(f"has no version at {probe.path}: {reason(error)}")


def _silent(fault: str) -> Served:
    return Served(fault=fault, silent=True)


def _field(body: bytes, path: str) -> Served:
    try:
        found = json_of(body)
    except ValueError:
        return _silent(f"expected JSON, found {shown(body)!r}")
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return _version(None if isinstance(found, dict | list) else found, f"field {path}")


def _version(text: object, place: str) -> Served:
    said = "" if text is None else str(text).strip()
    return Served(said) if said else _silent(f"its answer has no {place}")

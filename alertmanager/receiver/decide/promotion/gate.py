"""A phase's own condition before it may end: the user's check, asked by HTTP.

Only the status counts, so that the body is not read, however long it is; whatever else comes back keeps the gate
closed.
"""

import asyncio

import aiohttp

from canary.errors import reason
from canary.policy.gates import UrlGate


async def objection(gate: UrlGate, session: aiohttp.ClientSession) -> str:
    """Why the gate is closed; empty when it answered 2xx. Redirects are not followed: they are no 2xx."""
    try:
        async with (
            asyncio.timeout(gate.timeout),
            session.get(gate.url, allow_redirects=False) as answer,
        ):
            return "" if 200 <= answer.status < 300 else f"the gate answered {answer.status}"
    except TimeoutError:
        return f"the gate did not answer within {gate.timeout:g}s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"the gate is unreachable ({reason(error)})"

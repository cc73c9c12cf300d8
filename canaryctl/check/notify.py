"""The people's channels: each URL known to apprise, each host reachable. No message is sent."""

import asyncio

from canary.errors import CanaryError, reason
from canary.finding import Finding, failed, ok, skipped
from canary.notify import Notifier
from canary.policy import Policy

# Connecting takes milliseconds; a firewall that drops packets never answers.
_TIMEOUT_SECONDS = 5


async def check_notify(policy: Policy) -> list[Finding]:
    """One finding per target; URLs are secrets and never shown."""
    if policy.notify.urls_file is None and policy.notify.urls_env is None:
        remedy = "give notify.urls_file or urls_env, or nobody hears about a rollback"
        return [skipped("notify", "the policy names no targets", remedy)]
    try:
        notifier = Notifier.of(policy)
    except CanaryError as error:
        return [failed(error.place or "notify", error.what, error.remedy)]
    try:
        return list(await asyncio.gather(*(_reachable(name, server) for name, server in notifier.servers().items())))
    finally:
        notifier.close()


async def _reachable(name: str, server: tuple[str, int] | None) -> Finding:
    place = f"notify {name}"
    if server is None:
        return ok(place, "known to apprise")
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(*server)
    except (OSError, TimeoutError) as error:
        what = f"its server cannot be reached ({reason(error)})"
        return failed(place, what, "see that this machine may connect to it")
    writer.close()
    return ok(place, "its server can be reached")

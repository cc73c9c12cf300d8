"""The people's channels: each URL known to apprise, each host reachable. No message is sent."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from alertmanager.receiver.http.authority import local_name
from canary.errors import CanaryError, reason
from canary.finding import Finding, failed, ok, skipped
from canary.notify import Notifier
from canary.policy import Policy
from canary.policy.model import Audience, Notify
from canary.policy.reading.sentences import did_you_mean

# Connecting takes milliseconds; a firewall that drops packets never answers.
_TIMEOUT_SECONDS = 5


async def check_notify(policy: Policy) -> list[Finding]:
    """One finding per target; URLs are secrets and never shown."""
    found = [*_without_targets(policy), *_without_audience(policy), *_without_address(policy)]
    try:
        notifier = Notifier.of(policy)
    except CanaryError as error:
        return [*found, failed(error.place or "notify", error.what, error.remedy)]
    try:
        servers = notifier.servers().items()
        return [*found, *await asyncio.gather(*(_reachable(name, server) for name, server in servers))]
    finally:
        notifier.close()


def _without_targets(policy: Policy) -> Iterator[Finding]:
    """Sections that tell nobody."""
    audiences = {f"notify.audiences.{name}": one for name, one in policy.notify.audiences.items()}
    sections: dict[str, Notify | Audience] = {"notify": policy.notify, **audiences}
    for place, section in sections.items():
        if section.urls_file is None and section.urls_env is None:
            remedy = f"give {place}.urls_file or urls_env, or nobody hears about a rollback by it"
            yield skipped(place, "the policy names no targets", remedy)


def _without_audience(policy: Policy) -> Iterator[Finding]:
    """Owners that no audience is called after, where there are audiences: a misspelt one hears of nothing."""
    audiences = sorted(policy.notify.audiences)
    for name, owner in policy.owners.items():
        if audiences and owner not in audiences:
            what = f"no audience {owner!r} in notify.audiences"
            yield skipped(f"kpis.{name}.owner", what, did_you_mean(owner, audiences))


def _without_address(policy: Policy) -> Iterator[Finding]:
    """A page that messages link to at `127.0.0.1`, which is the reader's own machine, or telephone."""
    sections: list[Notify | Audience] = [policy.notify, *policy.notify.audiences.values()]
    told = any(section.urls_file or section.urls_env for section in sections)
    if told and local_name(urlsplit(policy.receiver.page).netloc):
        what = f"messages link to {policy.receiver.page}, which only this machine can open"
        remedy = "name the address by which people reach the page; then operators get a link that rolls back, too"
        yield skipped("receiver.page_url", what, remedy)


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

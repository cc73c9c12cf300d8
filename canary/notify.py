"""Notifications: one message to every target of the policy, through apprise, which knows some hundred services.

One call is one attempt. Whoever must not lose a message keeps it and calls again with the targets that failed (the
receiver's outbox does). Four things about apprise decide how it is called:

* It blocks, in the worst case for a connect and a read time-out of its own. So it runs in threads of its own and is
  given up after the policy's time limit; a rollback never waits for a chat service.
* For several services it answers with one yes or no. So each target is a service by itself, attempted and reported
  alone.
* It follows redirects. A chat service that has fallen into wrong hands could so send the receiver to any address in the
  shop's own network. So it is told not to (a URL may still say `redirect=yes`).
* Its logs, and those of the HTTP library below it, contain the URLs, which are secrets. So both are silenced.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Self
from urllib.parse import urlsplit

import apprise

from canary.errors import NotificationError
from canary.policy.model import Audience, Notify, Policy
from canary.secrets import read_secret
from canary.threads import OwnThreads, Threads

# Two attempts at each target may be under way: the one that has run into its time limit still blocks its thread.
_THREADS_PER_TARGET = 2


class Tone(StrEnum):
    """How a message is coloured where the target knows colours; the values are apprise's."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Message:
    """What the recipients read."""

    title: str
    body: str
    tone: Tone = Tone.INFO


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one attempt at one target; *error* is empty when the target took the message."""

    target: str
    error: str = ""


class Notifier:
    """Sends messages to apprise URLs.

    Targets are known by the kind of their service and their place in the list, such as `slack#1`: the URLs are
    secrets, and apprise's own masking leaves the tokens of many services readable.

    Args:
        urls: apprise URLs, one per target.
        audiences: further people's, by the audience's name, which precedes their targets' names: `owners/slack#1`.
        timeout_seconds: How long one attempt at one target may take.
        threads: Where apprise, which blocks, does its work. By default threads of its own: a service that hangs must
            not take the threads that routers and name look-ups need.

    Raises:
        NotificationError: a URL is none that apprise knows.
    """

    def __init__(
        self,
        urls: Sequence[str],
        timeout_seconds: float,
        threads: Threads | None = None,
        *,
        audiences: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        _quieten()
        self._timeout_seconds = timeout_seconds
        self._services: dict[str, apprise.Apprise] = {}
        for audience, theirs in {"": urls, **(audiences or {})}.items():
            self._add(audience, theirs)
        self._threads = threads or OwnThreads("notify", max(1, _THREADS_PER_TARGET * len(self._services)))

    def _add(self, audience: str, urls: Sequence[str]) -> None:
        section = f"notify.audiences.{audience}" if audience else "notify"
        for number, url in enumerate(urls, 1):
            service = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
            if not service.add(url):
                raise NotificationError(
                    "expected an apprise URL such as `slack://…`, `mailto://…` or `json://…`, "
                    "found something that apprise does not know",
                    place=f"{section}: URL {number} of {len(urls)}",
                )
            self._services[target_name(audience, f"{url.partition(':')[0].lower()}#{number}")] = service

    @classmethod
    def of(cls, policy: Policy, threads: Threads | None = None) -> Self:
        """The notifier of a policy; without `notify` URLs it has no targets.

        Raises:
            SecretError: the named file or variable cannot be read.
            NotificationError: a URL is none that apprise knows.
        """
        notify = policy.notify
        audiences = {
            name: _urls(f"notify.audiences.{name}", one, policy.base) for name, one in notify.audiences.items()
        }
        return cls(_urls("notify", notify, policy.base), notify.timeout, threads, audiences=audiences)

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets' names, in the policy's order."""
        return tuple(self._services)

    def servers(self) -> Mapping[str, tuple[str, int] | None]:
        """Host and port that each target's service listens on; None where apprise does not tell."""
        return {name: _server(service[0]) for name, service in self._services.items()}

    async def send(self, message: Message, targets: Collection[str] | None = None) -> tuple[Delivery, ...]:
        """Try to deliver once to all *targets* (all there are when None), at the same time.

        Never raises for a target that fails; targets that no longer exist are passed over.
        """
        chosen = [name for name in self._services if targets is None or name in targets]
        return tuple(await asyncio.gather(*(self._deliver(name, message) for name in chosen)))

    def close(self) -> None:
        """Wait for nothing more."""
        self._threads.close()

    async def _deliver(self, name: str, message: Message) -> Delivery:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                taken = await self._threads.run(partial(self._notify, name, message))
        except TimeoutError:
            return Delivery(name, f"no answer within {self._timeout_seconds:g}s")
        # apprise tells no reason, and never raises.
        return Delivery(name, "" if taken else "refused or unreachable")

    def _notify(self, name: str, message: Message) -> bool:
        taken = self._services[name].notify(
            title=message.title, body=message.body, notify_type=message.tone.value, body_format="text"
        )
        return bool(taken)


def target_name(audience: str, name: str) -> str:
    """What a target of an audience is called; those of nobody in particular have no prefix."""
    return f"{audience}/{name}" if audience else name


def audience_of(target: str) -> str:
    """The audience that a target belongs to; empty for those of nobody in particular."""
    return target.rpartition("/")[0]


def _urls(section: str, named: Notify | Audience, base: str) -> list[str]:
    """The URLs that a section's file or variable holds."""
    text = read_secret(section, file=named.urls_file, env=named.urls_env, base=base) or ""
    lines = (line.strip() for line in text.splitlines())
    return [url for line in lines if not line.startswith("#") for url in line.split()]


def _server(service: apprise.NotifyBase) -> tuple[str, int] | None:
    """Where a service listens: its own fixed address, or the host of its URL where that is one and not a token."""
    if mail := getattr(service, "smtp_host", None):
        return str(mail), int(service.port or 25)
    # apprise has no such question; its plug-ins keep the address in one of these, or build it from the URL's host.
    for attribute in ("notify_url", "webhook_url"):
        parts = urlsplit(str(getattr(service, attribute, None) or ""))
        if parts.hostname:
            return parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)
    if any("{host}" in template for template in map(str, service.templates)) and service.host:
        return str(service.host), int(service.port or (443 if service.secure else 80))
    return None


def _quieten() -> None:
    """Keep apprise and the HTTP library under it from logging: their lines contain the URLs' secrets."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    logging.getLogger("urllib3").setLevel(logging.WARNING)

"""What is asked of Alertmanager: which alerts are silent, how it is configured; and handing it an alert.

What it does not say makes nothing silent: an alert counts until a silence is known that covers it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from pydantic import TypeAdapter

from canary import names
from canary.prometheus.alert import Alert
from canary.prometheus.api import QUICK, JsonApi, Limits
from canary.prometheus.shapes import Labels, Moment, Shape


@dataclass(frozen=True)
class Matcher:
    """One condition of a silence on one label; a label that an alert lacks is empty."""

    name: str
    pattern: re.Pattern[str]
    equal: bool

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert's labels fulfil it."""
        return (self.pattern.fullmatch(labels.get(self.name, "")) is not None) == self.equal


@dataclass(frozen=True)
class Silence:
    """A silence that is, or was, in force.

    Attributes:
        active: whether it is in force now, in Alertmanager's own word.
    """

    matchers: tuple[Matcher, ...]
    ends_at: datetime
    active: bool = False

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels is silent."""
        return all(matcher.matches(labels) for matcher in self.matchers)


class Alertmanager:
    """One server.

    Args:
        http: through which it is asked; the caller closes it.
        url: where it is, from the policy only.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, *, limits: Limits = QUICK) -> None:
        self._api = JsonApi(http, "Alertmanager", url, key="receiver.alertmanager", limits=limits)
        self.url = self._api.url
        self.place = self._api.place

    async def suppressed(self, service: str) -> list[Mapping[str, str]]:
        """The labels of each alert of a service that people have silenced, or that another alert inhibits.

        Raises:
            RemoteError: the server does not answer properly.
        """
        filters = [("active", "false"), ("filter", f'{names.SERVICE}="{service}"')]
        found = await self._api.get("/api/v2/alerts", _ALERTS, filters)
        return [one.labels for one in found if one.status.state == "suppressed"]

    async def silences(self, since: datetime) -> list[Silence]:
        """The silences that are in force, or were at any time since a moment.

        One whose pattern Python cannot read, for it is Go's, silences nothing.

        Raises:
            RemoteError: the server does not answer properly.
        """
        found = await self._api.get("/api/v2/silences", _SILENCES)
        silences = [silence for one in found if one.status.state != "pending" and (silence := _silence(one))]
        return [silence for silence in silences if silence.active or silence.ends_at > since]

    async def configuration(self) -> str:
        """The configuration that it runs with, as text.

        Raises:
            RemoteError: the server does not answer properly.
        """
        return (await self._api.get("/api/v2/status", _STATUS)).config.original

    async def post(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Hand it alerts, as Prometheus does.

        Raises:
            RemoteError: it did not take them.
        """
        await self._api.post("/api/v2/alerts", alerts)


def unsuppressed(alerts: Iterable[Alert], suppressed: Sequence[Mapping[str, str]]) -> list[Alert]:
    """The alerts that nobody has silenced."""
    return [alert for alert in alerts if not any(alert.labels.items() <= labels.items() for labels in suppressed)]


class _State(Shape):
    state: str


class _Alert(Shape):
    labels: Labels
    status: _State


class _MatcherShape(Shape):
    name: str
    value: str
    is_regex: bool
    is_equal: bool = True


class _Silence(Shape):
    matchers: list[_MatcherShape]
    ends_at: Moment
    status: _State


class _Configuration(Shape):
    original: str


class _Status(Shape):
    config: _Configuration


_ALERTS = TypeAdapter(list[_Alert])
_SILENCES = TypeAdapter(list[_Silence])
_STATUS = TypeAdapter(_Status)


def _silence(one: _Silence) -> Silence | None:
    if one.ends_at is None:
        return None
    try:
        matchers = tuple(_matcher(matcher) for matcher in one.matchers)
    except (re.error, OverflowError, RecursionError):
        return None
    # One without matchers would silence everything; Alertmanager itself takes none.
    return Silence(matchers, one.ends_at, one.status.state == "active") if matchers else None


def _matcher(one: _MatcherShape) -> Matcher:
    pattern = re.compile(one.value if one.is_regex else re.escape(one.value), re.DOTALL)
    return Matcher(one.name, pattern, one.is_equal)

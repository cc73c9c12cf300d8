"""What is asked of Alertmanager: its silences and inhibitions, how it is configured; and handing it an alert.

What it does not say keeps nothing back: an alert counts until a silence is known that covers it.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import aiohttp
from pydantic import Field, TypeAdapter

from canary import names
from canary.errors import RemoteError
from canary.policy.model import Policy
from canary.prometheus.access import Access, access_of
from canary.prometheus.api import QUICK, JsonApi, Limits
from canary.prometheus.shapes import Labels, Moment, Shape, Text
from canary.prometheus.silences import LOWERING, Inhibited, Matcher, Silence

_KEY = "receiver.alertmanager"


class Alertmanager:
    """One server.

    Args:
        http: through which it is asked; the caller closes it.
        url: where it is, from the policy only.
        access: what it is shown.
    """

    def __init__(
        self, http: aiohttp.ClientSession, url: str, *, limits: Limits = QUICK, access: Access | None = None
    ) -> None:
        self._api = JsonApi(http, "Alertmanager", url, key=_KEY, limits=limits, access=access)
        self.url = self._api.url
        self.place = self._api.place

    @classmethod
    def of(cls, policy: Policy, http: aiohttp.ClientSession, *, limits: Limits = QUICK) -> Self:
        """As the policy's `receiver.alertmanager` says."""
        server = policy.receiver.alertmanager_server
        return cls(http, server.url, limits=limits, access=access_of(server, _KEY, policy.base))

    async def inhibited(self, service: str) -> list[Inhibited]:
        """Each alert of a service that another one inhibits, which asks for less traffic in the same rollout.

        Whatever else inhibits it, a rule of other people, keeps people from being told, and nothing more. Alertmanager
        names one source of several; when that is another one, the alert counts.

        Raises:
            RemoteError: the server does not answer properly.
        """
        found = await self._alerts({names.SERVICE: service})
        lowering = {one.fingerprint: one.labels for one in found if one.labels.get(names.ACTION) in LOWERING}
        return [
            Inhibited(one.labels, source)
            for one in found
            for by in one.status.inhibited_by
            if (source := lowering.get(by)) and source.get(names.ROLLOUT) == one.labels.get(names.ROLLOUT)
        ]

    async def kept_back_by(self, labels: Mapping[str, str]) -> str:
        """What keeps an alert with these labels, which fires here, from whom it is for; empty when nothing does.

        Raises:
            RemoteError: the server does not answer properly.
        """
        for one in await self._alerts(labels):
            if labels.items() <= one.labels.items() and one.status.kept_back:
                return "; ".join([reason async for reason in self._reasons(one.status)])
        return ""

    async def _reasons(self, status: "_AlertState") -> AsyncIterator[str]:
        if status.inhibited_by:
            yield f"{await self._named(status.inhibited_by)} inhibits it"
        if status.silenced_by:
            yield "a silence covers it"
        if status.muted_by:
            yield f"the time interval {', '.join(status.muted_by)} mutes it"
        if not (status.inhibited_by or status.silenced_by or status.muted_by):
            yield "it is suppressed there"

    async def _named(self, fingerprints: Sequence[str]) -> str:
        """The names of alerts that may be anybody's; only to be read, so that not knowing them is no failure."""
        try:
            known = {one.fingerprint: one.labels.get("alertname", "") for one in await self._alerts({})}
        except RemoteError:
            known = {}
        return ", ".join(sorted(filter(None, map(known.get, fingerprints)))) or "another alert"

    async def _alerts(self, labels: Mapping[str, str]) -> list["_Alert"]:
        """The alerts that have these labels."""
        return await self._api.get(
            "/api/v2/alerts", _ALERTS, [("filter", f'{name}="{labels[name]}"') for name in labels]
        )

    async def silences(self, since: datetime | None = None) -> list[Silence]:
        """The silences that are in force, or were at any time since a moment.

        One whose pattern Python cannot read, for it is Go's, silences nothing.

        Raises:
            RemoteError: the server does not answer properly.
        """
        found = await self._api.get("/api/v2/silences", _SILENCES)
        silences = [silence for one in found if one.status.state != "pending" and (silence := _silence(one))]
        return [one for one in silences if one.active or (since is not None and one.ends_at > since)]

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


class _State(Shape):
    state: str


class _AlertState(_State):
    inhibited_by: list[str] = Field(default_factory=list)
    silenced_by: list[str] = Field(default_factory=list)
    # Told since Alertmanager 0.28.
    muted_by: list[str] = Field(default_factory=list)

    @property
    def kept_back(self) -> bool:
        return self.state == "suppressed" or bool(self.muted_by)


class _Alert(Shape):
    labels: Labels
    status: _AlertState
    fingerprint: str = ""


class _MatcherShape(Shape):
    name: str
    value: str
    is_regex: bool
    is_equal: bool = True


class _Silence(Shape):
    matchers: list[_MatcherShape]
    ends_at: Moment
    status: _State
    id: str = ""
    created_by: Text = ""
    comment: Text = ""


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
    if not matchers:
        return None
    active = one.status.state == "active"
    return Silence(matchers, one.ends_at, active, one.id, one.created_by, " ".join(one.comment.split()))


def _matcher(one: _MatcherShape) -> Matcher:
    return Matcher(one.name, one.value, one.is_regex, one.is_equal)

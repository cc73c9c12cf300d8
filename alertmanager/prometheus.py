"""Asking Prometheus and Alertmanager directly: which alerts fire, which have fired, which are silenced."""

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import aiohttp

from alertmanager.webhook import Alert
from canary import names
from canary.errors import RemoteError
from canary.rollout import Rollout
from canary.times import from_text

_TIMEOUT_SECONDS = 4.0
_LOWERING = ("rollback", "hold")


class Remote:
    """One HTTP API that answers JSON.

    Args:
        name: for messages.
        url: where it is, from the policy only.
    """

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self._name = name
        self._url = url.rstrip("/")
        self._session = session

    async def get(self, path: str, params: Sequence[tuple[str, str]] = ()) -> Any:
        """The JSON that a path answers.

        Raises:
            RemoteError: it does not answer in time, or not as expected.
        """
        where = f"{self._name} {self._url}{path}"
        try:
            async with (
                asyncio.timeout(_TIMEOUT_SECONDS),
                self._session.get(self._url + path, params=params, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise RemoteError(f"{where}: expected status 200, found {answer.status}")
                return await answer.json(content_type=None)
        except TimeoutError as error:
            raise RemoteError(f"{where}: expected an answer within {_TIMEOUT_SECONDS:g}s, found none") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RemoteError(f"{where}: cannot be asked ({type(error).__name__}: {error}); is it running?") from error


class Prometheus:
    """What Prometheus says about the alerts of one service."""

    def __init__(self, url: str, session: aiohttp.ClientSession, service: str) -> None:
        self._remote = Remote("Prometheus", url, session)
        self._service = service

    async def firing(self, rollout: Rollout) -> list[Alert]:
        """The alerts about a rollout that fire now, as the rules were last evaluated.

        Raises:
            RemoteError: Prometheus does not answer as expected.
        """
        return [alert for alert in await self._firing() if self._about(alert, rollout)]

    async def stopping(self) -> list[Alert]:
        """The alerts that fire now and stop an experiment.

        Raises:
            RemoteError: Prometheus does not answer as expected.
        """
        wanted = {names.SERVICE: self._service, names.ACTION: "stop"}
        return [alert for alert in await self._firing() if wanted.items() <= alert.labels.items()]

    async def _firing(self) -> list[Alert]:
        answer = await self._remote.get("/api/v1/alerts")
        try:
            return [_alert(one) for one in answer["data"]["alerts"] if one["state"] == "firing"]
        except (TypeError, KeyError, ValueError) as error:
            raise RemoteError("Prometheus /api/v1/alerts: expected a list of alerts, found something else") from error

    async def fired(self, rollout: Rollout, seconds: float) -> list[Alert]:
        """The rollback alerts about a rollout that have fired at any time in the last *seconds*.

        Raises:
            RemoteError: Prometheus does not answer as expected.
        """
        selector = (
            f'ALERTS{{alertstate="firing",{names.ACTION}="rollback",{names.SERVICE}="{self._service}",'
            f'{names.ROLLOUT}="{rollout.id}"}}'
        )
        found = await self.query(f"max_over_time({selector}[{max(1, math.ceil(seconds))}s])")
        return [
            Alert({name: text for name, text in labels.items() if name != "alertstate"}, {}, firing=True)
            for labels, _ in found
        ]

    async def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """The instant vector of an expression.

        Raises:
            RemoteError: Prometheus does not answer as expected.
        """
        answer = await self._remote.get("/api/v1/query", [("query", expression)])
        try:
            return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]
        except (TypeError, KeyError, ValueError, IndexError) as error:
            raise RemoteError(f"Prometheus: expected a vector for `{expression}`, found something else") from error

    def _about(self, alert: Alert, rollout: Rollout) -> bool:
        return (
            alert.labels.get(names.SERVICE) == self._service
            and alert.labels.get(names.ROLLOUT) == rollout.id
            and alert.action in names.ACTIONS
        )


@dataclass(frozen=True)
class Matcher:
    """One condition of a silence on one label; a label that an alert lacks is empty."""

    name: str
    pattern: re.Pattern[str]
    equal: bool

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """A matcher as Alertmanager's API has it.

        Raises:
            KeyError: it is not one.
            re.error: its regular expression is none that Python knows.
        """
        text = str(data["value"])
        pattern = re.compile(text if data["isRegex"] else re.escape(text), re.DOTALL)
        return cls(str(data["name"]), pattern, bool(data.get("isEqual", True)))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert's labels fulfil it."""
        return (self.pattern.fullmatch(labels.get(self.name, "")) is not None) == self.equal


@dataclass(frozen=True)
class Silence:
    """A silence that is, or was, in force."""

    matchers: tuple[Matcher, ...]
    ends_at: datetime

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels is silent."""
        return all(matcher.matches(labels) for matcher in self.matchers)


class Silences:
    """Which alerts people have silenced, or other alerts inhibit, in Alertmanager."""

    def __init__(self, url: str, session: aiohttp.ClientSession, service: str) -> None:
        self._remote = Remote("Alertmanager", url, session)
        self._service = service

    async def suppressed(self) -> list[Mapping[str, str]]:
        """The labels of each suppressed alert of the service.

        Raises:
            RemoteError: Alertmanager does not answer as expected.
        """
        filters = [("active", "false"), ("filter", f'{names.SERVICE}="{self._service}"')]
        answer = await self._remote.get("/api/v2/alerts", filters)
        try:
            return [dict(one["labels"]) for one in answer if one["status"]["state"] == "suppressed"]
        except (TypeError, KeyError, ValueError) as error:
            raise RemoteError("Alertmanager /api/v2/alerts: expected a list of alerts, found something else") from error

    async def since(self, moment: datetime) -> list[Silence]:
        """The silences that were in force at any time since a moment.

        Raises:
            RemoteError: Alertmanager does not answer as expected.
        """
        answer = await self._remote.get("/api/v2/silences")
        try:
            silences = [
                Silence(tuple(Matcher.read(matcher) for matcher in one["matchers"]), from_text(one["endsAt"]))
                for one in answer
                if one["status"]["state"] != "pending"
            ]
        except (TypeError, KeyError, ValueError, re.error) as error:
            raise RemoteError(
                "Alertmanager /api/v2/silences: expected a list of silences, found something else"
            ) from error
        return [silence for silence in silences if silence.ends_at > moment]


def lowering(alerts: Sequence[Alert], suppressed: Sequence[Mapping[str, str]] = ()) -> list[Alert]:
    """The alerts that ask for a rollback or a hold and are not suppressed."""
    return [alert for alert in unsuppressed(alerts, suppressed) if alert.action in _LOWERING]


def unsuppressed(alerts: Sequence[Alert], suppressed: Sequence[Mapping[str, str]]) -> list[Alert]:
    """The alerts that nobody has silenced."""
    return [alert for alert in alerts if not any(alert.labels.items() <= labels.items() for labels in suppressed)]


def _alert(data: Mapping[str, Any]) -> Alert:
    return Alert(
        labels=dict(data["labels"]),
        annotations=dict(data["annotations"]),
        firing=True,
        starts_at=from_text(data["activeAt"]) if data.get("activeAt") else None,
    )

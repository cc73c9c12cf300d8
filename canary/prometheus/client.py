"""What is asked of Prometheus, or of what answers its API.

Where an answer is about fewer series than were asked for, as Thanos, Mimir and VictoriaMetrics say of theirs, it is
refused: what is missing could be the alert.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Self, TypeVar

import aiohttp
from pydantic import TypeAdapter

from canary.errors import shown
from canary.policy.model import Policy
from canary.prometheus import shapes
from canary.prometheus.access import Access, access_of
from canary.prometheus.alert import Alert
from canary.prometheus.api import QUICK, JsonApi, Limits

A = TypeVar("A", bound=shapes.Answer)

# Prometheus' notes about an expression, such as a counter whose name does not end in _total, begin so. All other
# warnings are about series that could not be read.
_ABOUT_THE_EXPRESSION = "PromQL "

_KEY = "receiver.prometheus"


class Sample(NamedTuple):
    """One series' value at one moment; not necessarily finite."""

    labels: Mapping[str, str]
    value: float


class Series(NamedTuple):
    """One series' values over time; not necessarily finite."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]
    """Unix time and value."""


class Rule(NamedTuple):
    """One rule as the server has loaded it.

    Attributes:
        duration_seconds: an alert's `for`.
        error: why it could not be evaluated the last time; empty when it could.
        interval_seconds: how often its group is evaluated; 0 when the server does not say.
    """

    group: str
    name: str
    expression: str
    labels: Mapping[str, str]
    duration_seconds: float
    error: str
    interval_seconds: float = 0.0


class Prometheus:
    """One server.

    Args:
        http: through which it is asked; the caller closes it.
        url: where series are asked for, from the policy only.
        rules_url: where alerts and rules are asked for, when that is another address.
        access: what both are shown.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        *,
        limits: Limits = QUICK,
        rules_url: str | None = None,
        access: Access | None = None,
    ) -> None:
        self._api = JsonApi(http, "Prometheus", url, key=_KEY, limits=limits, access=access)
        self._rules = JsonApi(http, "Prometheus", rules_url or url, key=_KEY, limits=limits, access=access)
        self.url = self._api.url
        self.place = self._api.place

    @classmethod
    def of(cls, policy: Policy, http: aiohttp.ClientSession, *, limits: Limits = QUICK) -> Self:
        """As the policy's `receiver.prometheus` says."""
        server = policy.receiver.prometheus_server
        shown_what = access_of(server, _KEY, policy.base)
        return cls(http, server.query_url, limits=limits, rules_url=server.rules_url, access=shown_what)

    async def query(self, expression: str) -> list[Sample]:
        """The value of an expression now: one sample per series, or one without labels when it is a scalar.

        Raises:
            RemoteError: the server does not answer properly, or refuses the expression.
        """
        data = (await self._get("query", shapes.QUERY, [("query", expression)])).data
        match data:
            case shapes.Vector(result=result):
                return [Sample(one.metric, one.value[1]) for one in result]
            case shapes.Scalar(result=(_, value)):
                return [Sample({}, value)]
            case _:
                raise self._api.error(
                    "/api/v1/query", f"expected a vector for `{expression}`, found {data.result_type}", ""
                )

    async def recorded(self, selector: str, at: datetime) -> list[Series]:
        """The samples behind a range selector, `up[5m]`, as they were recorded until a moment.

        Raises:
            RemoteError: the server does not answer properly, or refuses the selector.
        """
        parameters = [("query", selector), ("time", f"{at.timestamp():.3f}")]
        return self._series("query", await self._get("query", shapes.QUERY, parameters))

    async def query_range(self, expression: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        """The values of an expression between two moments.

        Raises:
            RemoteError: the server does not answer properly, or refuses the expression.
        """
        parameters = [
            ("query", expression),
            ("start", str(start.timestamp())),
            ("end", str(end.timestamp())),
            ("step", str(step_seconds)),
        ]
        return self._series("query_range", await self._get("query_range", shapes.QUERY, parameters))

    async def time(self) -> datetime:
        """The server's clock.

        Raises:
            RemoteError: the server does not answer properly.
        """
        found = await self.query("time()")
        if len(found) == 1 and math.isfinite(seconds := found[0].value) and 0 <= seconds <= shapes.LAST_MOMENT:
            return datetime.fromtimestamp(seconds, UTC)
        raise self._api.error("/api/v1/query", "expected the time for `time()`, found something else")

    async def alerts(self) -> list[Alert]:
        """Every alert that fires or is about to, as the rules were last evaluated.

        That there are none may also mean that there are no rules: see `ServiceAlerts`.

        Raises:
            RemoteError: the server does not answer properly.
        """
        found = await self._get("alerts", shapes.ALERTS, api=self._rules)
        return [
            Alert(one.labels, one.annotations or {}, one.state == "firing", one.active_at)
            for one in found.data.alerts or ()
        ]

    async def rules(self) -> list[Rule]:
        """The loaded rules.

        Raises:
            RemoteError: the server does not answer properly.
        """
        found = await self._get("rules", shapes.RULES, api=self._rules)
        return [
            Rule(group.name, one.name, one.query, one.labels or {}, one.duration, one.last_error, group.interval)
            for group in found.data.groups or ()
            for one in group.rules or ()
        ]

    def _series(self, path: str, answer: shapes.Query) -> list[Series]:
        if not isinstance(answer.data, shapes.Matrix):
            raise self._api.error(f"/api/v1/{path}", f"expected a matrix, found {answer.data.result_type}", "")
        return [Series(one.metric, one.values) for one in answer.data.result]

    async def _get(
        self,
        path: str,
        shape: TypeAdapter[A],
        parameters: Sequence[tuple[str, str]] = (),
        api: JsonApi | None = None,
    ) -> A:
        api = api or self._api
        answer = await api.get(f"/api/v1/{path}", shape, parameters)
        missing = [text for text in answer.warnings or () if not text.startswith(_ABOUT_THE_EXPRESSION)]
        if missing or answer.is_partial:
            what = f"the answer is incomplete ({shown((missing or ['isPartial'])[0])})"
            raise api.error(f"/api/v1/{path}", what, "see the log of that server")
        return answer

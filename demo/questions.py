"""What the demo asks Prometheus: which alerts fire, and when something became true for the first time."""

import math
from datetime import UTC, datetime

import aiohttp

from canary.prometheus import Prometheus


class Questions:
    """Asks one Prometheus."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._prometheus = Prometheus(session, url)

    async def firing(self) -> dict[str, str]:
        """Names of the firing alerts, each with its `action` label.

        Raises:
            RemoteError: Prometheus did not answer.
        """
        return {alert.name: alert.action for alert in await self._prometheus.alerts() if alert.firing}

    async def value(self, query: str) -> float | None:
        """The value of a query's first result now; nothing when it has none.

        Raises:
            RemoteError: Prometheus did not answer.
        """
        return next((sample.value for sample in await self._prometheus.query(query)), None)

    async def first_time(self, series: str, since: datetime, until: datetime) -> datetime | None:
        """When a series selected by name and labels first was 1, as it was recorded; nothing when it never was.

        Raises:
            RemoteError: Prometheus did not answer.
        """
        span = f"{math.ceil((until - since).total_seconds() * 1000)}ms"
        found = await self._prometheus.recorded(f"{series}[{span}]", until)
        moments = [moment for _, points in found for moment, value in points if value == 1]
        return datetime.fromtimestamp(min(moments), UTC) if moments else None

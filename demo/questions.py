"""What the demo asks Prometheus: which alerts fire, and when something became true for the first time."""

import math
from datetime import UTC, datetime
from typing import Any

import aiohttp

from canary.errors import RemoteError


class Questions:
    """Asks one Prometheus."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def firing(self) -> dict[str, str]:
        """Names of the firing alerts, each with its `action` label.

        Raises:
            RemoteError: Prometheus did not answer.
        """
        data = await self._get("alerts", {})
        alerts = [alert for alert in data.get("alerts", []) if alert["state"] == "firing"]
        return {alert["labels"]["alertname"]: alert["labels"].get("action", "none") for alert in alerts}

    async def value(self, query: str) -> float | None:
        """The value of a query's first result now; nothing when it has none.

        Raises:
            RemoteError: Prometheus did not answer.
        """
        data = await self._get("query", {"query": query})
        return next((float(series["value"][1]) for series in data.get("result", [])), None)

    async def first_time(self, series: str, since: datetime, until: datetime) -> datetime | None:
        """When a series selected by name and labels first was 1, as it was recorded; nothing when it never was.

        Raises:
            RemoteError: Prometheus did not answer.
        """
        span = f"{math.ceil((until - since).total_seconds() * 1000)}ms"
        data = await self._get("query", {"query": f"{series}[{span}]", "time": f"{until.timestamp():.3f}"})
        samples = [sample for found in data.get("result", []) for sample in found["values"]]
        moments = [float(moment) for moment, value in samples if float(value) == 1]
        return datetime.fromtimestamp(min(moments), UTC) if moments else None

    async def _get(self, question: str, parameters: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
        url = f"{self._url}/api/v1/{question}"
        try:
            async with self._session.get(url, params=parameters, timeout=aiohttp.ClientTimeout(total=5)) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise RemoteError(
                f"Prometheus at {url}: no usable answer ({type(error).__name__}); does it run?"
            ) from error
        if answer.get("status") != "success":
            raise RemoteError(f"Prometheus at {url}: expected success, found {answer.get('error', answer)}")
        data: dict[str, list[dict[str, Any]]] = answer["data"]
        return data

"""What the demo asks Prometheus: which alerts fire, and when something became true for the first time."""

from datetime import UTC, datetime
from typing import Any

import aiohttp

from canary.errors import RemoteError

_STEP_SECONDS = 0.5


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

    async def first_time(self, query: str, since: datetime, until: datetime) -> datetime | None:
        """When a query first had a result, to half a second; nothing when it never had.

        Raises:
            RemoteError: Prometheus did not answer.
        """
        span = {"start": f"{since.timestamp():.3f}", "end": f"{until.timestamp():.3f}", "step": f"{_STEP_SECONDS}"}
        data = await self._get("query_range", {"query": query, **span})
        moments = [float(series["values"][0][0]) for series in data.get("result", [])]
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

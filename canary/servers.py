"""Asking the servers that a policy names: JSON over HTTP, a short time limit, one kind of error."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import aiohttp

from canary.errors import RemoteError

_TIMEOUT_SECONDS = 5


async def get_json(http: aiohttp.ClientSession, url: str, parameters: Mapping[str, str] | None = None) -> Any:
    """The JSON that a server answers to a GET.

    Raises:
        RemoteError: it cannot be reached, answers another status than 200, or no JSON.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            async with http.get(url, params=parameters) as response:
                if response.status != 200:
                    raise RemoteError(f"{url}: expected status 200, found {response.status}")
                return await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RemoteError(f"{url}: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT_SECONDS}s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect ({error.os_error.strerror or error.os_error})"
    if isinstance(error, ValueError):
        return "expected JSON, found something else"
    return type(error).__name__


class Prometheus:
    """The few questions that checks and reports have for Prometheus, or what answers its API."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self.url = url.rstrip("/")

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query.

        Raises:
            RemoteError: the server cannot be asked or refuses the expression.
        """
        data = await self._data("query", {"query": expression})
        result = data["result"]
        return result if data["resultType"] == "vector" else [{"metric": {}, "value": result}]

    async def query_range(
        self, expression: str, start: datetime, end: datetime, step_seconds: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """The series of a range query: labels, and pairs of Unix time and value.

        Raises:
            RemoteError: the server cannot be asked or refuses the expression.
        """
        parameters = {
            "query": expression,
            "start": str(start.timestamp()),
            "end": str(end.timestamp()),
            "step": str(step_seconds),
        }
        data = await self._data("query_range", parameters)
        return [(one["metric"], [(float(at), float(value)) for at, value in one["values"]]) for one in data["result"]]

    async def rules(self) -> list[dict[str, Any]]:
        """The loaded rule groups.

        Raises:
            RemoteError: the server cannot be asked.
        """
        groups: list[dict[str, Any]] = (await self._data("rules", {}))["groups"]
        return groups

    async def normal(self, expression: str) -> str:
        """An expression as the server itself would write it.

        Raises:
            RemoteError: the server does not know the expression, or this question.
        """
        return str(await self._data("format_query", {"query": expression}))

    async def _data(self, path: str, parameters: Mapping[str, str]) -> Any:
        answer = await get_json(self._http, f"{self.url}/api/v1/{path}", parameters)
        if not isinstance(answer, dict) or answer.get("status") != "success":
            raise RemoteError(f"{self.url}/api/v1/{path}: expected status success, found {answer!r:.200}")
        return answer["data"]

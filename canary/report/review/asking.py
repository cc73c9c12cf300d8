"""How a report asks Prometheus about the time of one rollout: curves over it, and one value for the whole of it."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from canary.prometheus import Series

Points = Sequence[tuple[float, float]]
"""Unix time and value, oldest first."""


class Asked(Protocol):
    """A Prometheus."""

    async def query_range(self, expression: str, start: datetime, end: datetime, step_seconds: float) -> list[Series]:
        """The values of an expression between two moments."""
        ...


class Asking:
    """Questions about the time from *since* to *until*."""

    def __init__(self, prometheus: Asked, since: datetime, until: datetime) -> None:
        self._prometheus = prometheus
        self.since = since
        self.until = until

    @property
    def window(self) -> str:
        """The whole time, as PromQL writes a range; a second at least."""
        return f"{max(1, round((self.until - self.since).total_seconds()))}s"

    async def curve(self, expression: str, step_seconds: float) -> Points:
        """The values of one series over the time; empty when there is none."""
        series = await self._prometheus.query_range(expression, self.since, self.until, step_seconds)
        return finite(series[0][1]) if series else ()

    async def at_the_end(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and value of each series at the end."""
        series: list[Series] = await self._prometheus.query_range(expression, self.until, self.until, 1.0)
        return [(labels, values[-1][1]) for labels, points in series if (values := finite(points))]

    async def value(self, expression: str) -> float | None:
        """The value of the only series at the end; None when there is none."""
        found = await self.at_the_end(expression)
        return found[0][1] if found else None


def finite(points: Points) -> Points:
    """The points whose value is a number."""
    return [(at, value) for at, value in points if math.isfinite(value)]


def matchers(*parts: str) -> str:
    """Label matchers together, without the empty ones."""
    return "{" + ",".join(part for part in parts if part) + "}"

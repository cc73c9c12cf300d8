"""Asks a Prometheus as Grafana's data source does."""

import json
import math
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Series:
    """One series: its labels, and samples as (time in seconds, value) *step_seconds* apart where there is no gap."""

    labels: dict[str, str]
    points: list[tuple[float, float]]
    step_seconds: float = 0.0
    ref: str = ""
    name: str = ""

    @property
    def last(self) -> float:
        """The newest value, nan without one."""
        known = [value for _, value in self.points if not math.isnan(value)]
        return known[-1] if known else math.nan


@dataclass(frozen=True)
class Prometheus:
    """A server and the window of time that is looked at."""

    url: str
    start: float
    end: float

    def instant(self, expression: str) -> list[Series]:
        """The value of an expression at the end of the window."""
        found = self._get("query", {"query": expression, "time": str(self.end)})["result"]
        return [Series(item["metric"], [_sample(item["value"])]) for item in found]

    def range(self, expression: str, step_seconds: float) -> list[Series]:
        """The values of an expression over the window, at multiples of the step as Grafana aligns them."""
        start = math.floor(self.start / step_seconds) * step_seconds
        parameters = {"query": expression, "start": str(start), "end": str(self.end), "step": str(step_seconds)}
        found = self._get("query_range", parameters)["result"]
        return [Series(item["metric"], [_sample(pair) for pair in item["values"]], step_seconds) for item in found]

    def label_values(self, selector: str, label: str) -> list[str]:
        """The values of a label of the series that a selector names."""
        parameters = {"match[]": selector, "start": str(self.start), "end": str(self.end)}
        return [str(value) for value in self._get(f"label/{label}/values", parameters)]

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        body = urllib.parse.urlencode(parameters).encode() if path.startswith("query") else None
        query = "" if body else f"?{urllib.parse.urlencode(parameters)}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/api/v1/{path}{query}", data=body)  # noqa: S310  # the user's own server
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # as above
            return json.load(response)["data"]


def _sample(pair: list[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])

"""A real Prometheus in a temporary folder, on a free port; with history, rules and targets as a test wants them."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from tests.support.web.server import Server

_NOTHING_TO_SCRAPE = "global: {scrape_interval: 1h}\n"
_ARGUMENTS = (
    "--storage.tsdb.path={folder}/data",
    "--storage.tsdb.retention.time=100y",
    "--web.enable-lifecycle",
    "--log.level=warn",
)


class Prometheus(Server):
    """One server; `with` starts and ends it.

    Args:
        configuration: The text of prometheus.yml; rules are named in it by their path.
        history: An OpenMetrics file whose samples are there from the start.
        port: Where it listens; a free one when missing.
        arguments: More of Prometheus' flags.
    """

    def __init__(
        self,
        configuration: str = _NOTHING_TO_SCRAPE,
        history: Path | None = None,
        port: int | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__("prometheus", configuration, [*_ARGUMENTS, *arguments], port)
        self._history = history

    def __enter__(self) -> Self:
        if self._history is not None:
            argv = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(self._history)]
            subprocess.run([*argv, str(self.folder / "data")], check=True, capture_output=True)
        return super().__enter__()

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query; AssertionError with Prometheus' own words when it is refused."""
        return self._results("query", {"query": expression} | ({} if at is None else {"time": str(at)}))

    def query_range(self, expression: str, start: float, end: float, step_seconds: float) -> list[dict[str, Any]]:
        """The result of a range query."""
        return self._results(
            "query_range", {"query": expression, "start": str(start), "end": str(end), "step": str(step_seconds)}
        )

    def label_values(self, label: str, selector: str, start: float, end: float) -> list[str]:
        """What Grafana's `label_values(selector, label)` asks for."""
        found = self._get(f"label/{label}/values", {"match[]": selector, "start": str(start), "end": str(end)})
        return [str(value) for value in found]

    def _results(self, path: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        found = self._get(path, parameters)
        assert isinstance(found, dict)
        result: list[dict[str, Any]] = found["result"]
        return result

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:  # it starts, and is as good as away
                raise
            raise AssertionError(f"Prometheus refused {parameters}: {error.read().decode()}") from error

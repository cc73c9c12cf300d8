"""A real Prometheus in a temporary folder, on a free port; with history, rules and targets as a test wants them."""

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.ports import free_port
from tests.support.processes import Program

_READY_SECONDS = 30.0
_NOTHING_TO_SCRAPE = "global: {scrape_interval: 1h}\n"


class Prometheus:
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
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="canary-prometheus-"))
        self._configuration = configuration
        self._history = history
        self._program = Program(
            [
                "prometheus",
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--web.enable-lifecycle",
                "--log.level=warn",
                *arguments,
            ],
            self._folder / "log",
        )

    def __enter__(self) -> Self:
        (self._folder / "prometheus.yml").write_text(self._configuration, encoding="utf-8")
        if self._history is not None:
            argv = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(self._history)]
            subprocess.run([*argv, str(self._folder / "data")], check=True, capture_output=True)
        self._program.launch()
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            assert self._program.running, f"Prometheus ended: {self._program.log_tail()}"
            assert time.monotonic() < deadline, f"Prometheus never became ready: {self._program.log_tail()}"
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

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
            raise AssertionError(f"Prometheus refused {parameters}: {error.read().decode()}") from error

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

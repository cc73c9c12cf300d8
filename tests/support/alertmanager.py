"""A real Alertmanager in a temporary folder, on a free port."""

import shutil
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import free_port
from tests.support.processes import Program

_READY_SECONDS = 30.0


class Alertmanager:
    """One server without peers; `with` starts and ends it.

    Args:
        configuration: The text of alertmanager.yml.
        port: Where it listens; a free one when missing.
    """

    def __init__(self, configuration: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="canary-alertmanager-"))
        self._configuration = configuration
        self._program = Program(
            [
                "prometheus-alertmanager",
                f"--config.file={self._folder / 'alertmanager.yml'}",
                f"--storage.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            self._folder / "log",
        )

    def __enter__(self) -> Self:
        (self._folder / "alertmanager.yml").write_text(self._configuration, encoding="utf-8")
        self._program.launch()
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            assert self._program.running, f"Alertmanager ended: {self._program.log_tail()}"
            assert time.monotonic() < deadline, f"Alertmanager never became ready: {self._program.log_tail()}"
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

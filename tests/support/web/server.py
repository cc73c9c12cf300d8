"""A real program of the Prometheus family in a temporary folder, on a free port."""

import shutil
import signal
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program


class Server:
    """One server; `with` starts it, waits until it is ready, and ends it.

    Args:
        program: Its name on PATH.
        configuration: The text of its configuration file.
        arguments: More of its flags; `{folder}` in them stands for its folder.
        port: Where it listens; a free one when missing.
    """

    def __init__(self, program: str, configuration: str, arguments: Sequence[str], port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"canary-{program}-"))
        file = self.folder / "configuration.yml"
        file.write_text(configuration, encoding="utf-8")
        self._program = Program(
            [
                program,
                f"--config.file={file}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                *(argument.format(folder=self.folder) for argument in arguments),
            ],
            self.folder / "log",
        )

    @property
    def program(self) -> Program:
        """The running program, to be killed or stopped."""
        return self._program

    def __enter__(self) -> Self:
        self.again()
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the program, by this signal, and keep its folder."""
        self._program.stop(number)

    def again(self) -> None:
        """Start it on its folder, as it was left, and wait until it is ready."""
        if not self._program.running:  # a test may have entered it in a thread before its own `with` does
            self._program.launch()
        self._program.wait_until(self._answers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=30) as response:
                return bool(response.status == 200)
        except OSError:
            return False

"""What every database server of a test run is: a program on a free port, its data in a folder that goes with it."""

import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program


class DatabaseServer:
    """A server in a temporary folder; what is made of it sets `_server`, and starts it on entering."""

    _server: Program

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix=f"canary-{name}-"))
        self._number = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        # Some hundred databases of three hundred files each take a minute to remove, for which nobody need wait.
        subprocess.run(["sh", "-c", 'rm -rf "$0" > /dev/null 2>&1 &', self._folder], check=True)
        self._log.unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return self._folder.with_suffix(".log")

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def pause(self) -> None:
        """Let the server hang."""
        self._server.pause()

    def go_on(self) -> None:
        """Let it go on."""
        self._server.resume()

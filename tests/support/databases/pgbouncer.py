"""A real PgBouncer before a test's PostgreSQL."""

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.databases.postgres import Postgres, unprivileged
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, listens


class PgBouncer:
    """Pools the server's connections; `async with` starts and ends it.

    Args:
        mode: `transaction` or `session`.
        settings: further ones, such as `ignore_startup_parameters=jit`.
    """

    def __init__(self, server: Postgres, mode: str, *settings: str) -> None:
        self.port = free_port()
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="canary-bouncer-"))
        lines = ["[databases]", f"* = host=127.0.0.1 port={server.port} user=shop", "[pgbouncer]"]
        lines += ["listen_addr = 127.0.0.1", f"listen_port = {self.port}", "unix_socket_dir =", "auth_type = any"]
        lines += [f"pool_mode = {mode}", "default_pool_size = 8", *settings]
        file = self._folder / "pgbouncer.ini"
        file.write_text("\n".join(lines) + "\n")
        self._program = Program([*unprivileged(), "pgbouncer", file], self._folder / "log")

    def url(self, direct: str) -> str:
        """The address of the same database through the pooler."""
        return direct.replace(f":{self._server.port}/", f":{self.port}/")

    async def __aenter__(self) -> Self:
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
        await self._program.start(lambda: listens(self.port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

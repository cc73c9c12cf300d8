"""A real MariaDB of a test run's own, in a temporary folder on a free port."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.databases.server import DatabaseServer
from tests.support.programs.processes import SEARCH_PATH, Program


def _program(name: str) -> str:
    path = shutil.which(name, path=SEARCH_PATH)
    assert path, f"{name} is not installed (Debian: apt-get install mariadb-server)"
    return path


class MariaDb(DatabaseServer):
    """One server with user `shop` who needs no password; `with` starts and ends it."""

    def __init__(self, settings: Sequence[str] = ()) -> None:
        """Prepare a server; *settings* are further ones, such as `server-id=1`."""
        super().__init__("maria")
        self._user = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() != 0 else "mysql"
        # A server that starts removes temporary tables from its folder of these, a neighbour's too that is at work.
        temporary = self._folder / "temporary"
        temporary.mkdir()
        self._common = ["--no-defaults", f"--datadir={self._folder / 'data'}", f"--tmpdir={temporary}"]
        self._common += [f"--user={self._user}"]
        options = [f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self._socket}"]
        options += ["--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"]
        options += [f"--{setting}" for setting in settings]
        self._server = Program([_program("mariadbd"), *self._common, *options], self._log)

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self._socket

    @property
    def _socket(self) -> Path:
        return self._folder / "socket"

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            for folder in (self._folder, self._folder / "temporary"):
                shutil.chown(folder, self._user)
        argv = [_program("mariadb-install-db"), *self._common, "--auth-root-authentication-method=normal"]
        subprocess.run([*argv, "--skip-test-db"], check=True, capture_output=True)
        self.start()
        self._sql("CREATE USER shop@'127.0.0.1'; GRANT ALL ON *.* TO shop@'127.0.0.1'").check_returncode()
        return self

    def start(self) -> None:
        """Start the server, also after a stop, on the same port with the same data."""
        self._server.launch()
        self._server.wait_until(lambda: self._sql("SELECT 1").returncode == 0)

    def new_database(self) -> str:
        """A fresh, empty database; its address for SQLAlchemy with asyncmy."""
        self._number += 1
        name = f"test{self._number}"
        self._sql(f"CREATE DATABASE {name}").check_returncode()
        return f"mysql+asyncmy://shop@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        """Execute statements as the administrator."""
        self._sql(statement).check_returncode()

    def _sql(self, statement: str) -> subprocess.CompletedProcess[bytes]:
        # From 11.4 on the client wants TLS by itself, also of a server that is started without.
        argv = [_program("mariadb"), "--no-defaults", "--skip-ssl", f"--socket={self._socket}", "--user=root"]
        return subprocess.run([*argv, "-e", statement], check=False, capture_output=True)

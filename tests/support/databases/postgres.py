"""A real PostgreSQL of a test run's own, also for root, whom PostgreSQL refuses."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.databases.server import DatabaseServer
from tests.support.programs.processes import Program


def program(name: str) -> str:
    """One of the server's programs; Debian keeps them by version, the newest is taken."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    path = str(found[-1]) if found else shutil.which(name)
    assert path, f"{name} is not installed (Debian: apt-get install postgresql)"
    return path


def unprivileged() -> list[str]:
    """What to put in front of a program so that it does not run as root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]


class Postgres(DatabaseServer):
    """One server in a temporary folder, with user `shop` who needs no password; `with` starts and ends it."""

    def __init__(self, settings: Sequence[str] = ()) -> None:
        """Prepare a server; *settings* are further ones, such as `wal_level=replica`."""
        super().__init__("pg")
        # Durability is not under test; without it a test run does not wait for disks.
        options = [f"-cport={self.port}", "-clisten_addresses=127.0.0.1", f"-cunix_socket_directories={self._folder}"]
        options += ["-cfsync=off", "-cmax_connections=60", *(f"-c{setting}" for setting in settings)]
        self._server = Program([*unprivileged(), program("postgres"), "-D", self._folder / "data", *options], self._log)

    @property
    def folder(self) -> Path:
        """Where its socket is."""
        return self._folder

    @property
    def program(self) -> Program:
        """The running program, to be killed or stopped."""
        return self._server

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
        argv = [*unprivileged(), program("initdb"), "-D", str(self._folder / "data"), "-A", "trust", "-U", "shop"]
        subprocess.run([*argv, "-E", "UTF8", "--locale=C", "--no-sync"], check=True, capture_output=True)
        self.start()
        return self

    def start(self) -> None:
        """Start the server, also after a stop, on the same port with the same data."""
        self._server.launch()
        self._server.wait_until(self._answers)

    def stop(self) -> None:
        """End the server, as a failure would."""
        self._server.stop(signal.SIGINT)

    def pause(self) -> None:
        """Stop every process of the server in the middle of what it does: it answers no more, and hangs up nobody."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        postmaster = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            os.kill(pid, number)

    def new_database(self, encoding: str = "UTF8") -> str:
        """A fresh, empty database; its address for SQLAlchemy with asyncpg."""
        self._number += 1
        name = f"test{self._number}_{os.getpid()}"  # forks of a process may share its server
        self._sql(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0").check_returncode()
        return f"postgresql+asyncpg://shop@127.0.0.1:{self.port}/{name}"

    def execute(self, database_url: str, *statements: str) -> None:
        """Execute statements as the administrator in one of the databases."""
        argv = [program("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "shop"]
        argv += ["-d", database_url.rsplit("/", 1)[1]]
        subprocess.run([*argv, "-c", "; ".join(statements)], check=True, capture_output=True)

    def _answers(self) -> bool:
        return self._sql("SELECT 1").returncode == 0

    def _sql(self, statement: str) -> subprocess.CompletedProcess[bytes]:
        argv = [program("psql"), "-qAt", "-h", "127.0.0.1", "-p", str(self.port), "-U", "shop", "-d", "postgres"]
        return subprocess.run([*argv, "-c", statement], check=False, capture_output=True)

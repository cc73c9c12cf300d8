"""A streaming replica of a test's PostgreSQL server."""

import shutil
import subprocess
from pathlib import Path
from typing import Self

from tests.support.databases.postgres import Postgres, program, unprivileged
from tests.support.databases.server import DatabaseServer
from tests.support.programs.processes import Program


class PostgresReplica(DatabaseServer):
    """Follows *primary*, which needs `wal_level=replica`; `with` starts and ends it."""

    def __init__(self, primary: Postgres) -> None:
        super().__init__("pg-replica")
        self._primary = primary
        options = [f"-cport={self.port}", "-clisten_addresses=127.0.0.1", f"-cunix_socket_directories={self._folder}"]
        options += ["-cfsync=off", "-chot_standby=on", "-cwal_retrieve_retry_interval=100ms"]
        argv: list[str | Path] = [*unprivileged(), program("postgres"), "-D", self._folder / "data", *options]
        self._server = Program(argv, self._log)

    def __enter__(self) -> Self:
        if unprivileged():
            shutil.chown(self._folder, "postgres")
        source = f"host=127.0.0.1 port={self._primary.port} user=shop"
        argv = [*unprivileged(), program("pg_basebackup"), "-D", str(self._folder / "data"), "-d", source]
        subprocess.run([*argv, "-R", "-X", "stream", "-c", "fast", "--no-sync"], check=True, capture_output=True)
        self._server.launch()
        self._server.wait_until(lambda: self.sql("SELECT 1").returncode == 0)
        return self

    def url(self, primary_url: str) -> str:
        """The address of the same database here."""
        return primary_url.replace(f":{self._primary.port}/", f":{self.port}/")

    def sql(self, statement: str) -> subprocess.CompletedProcess[bytes]:
        """Execute a statement as the administrator."""
        return _sql(self.port, statement)

    def catch_up(self) -> None:
        """Return once all that the primary has committed until now can be read here."""
        written = _sql(self._primary.port, "SELECT pg_current_wal_lsn()").stdout.decode().strip()
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
        self._server.wait_until(lambda: self.sql(replayed).stdout.strip() == b"t")


def _sql(port: int, statement: str) -> subprocess.CompletedProcess[bytes]:
    argv = [program("psql"), "-qAt", "-h", "127.0.0.1", "-p", str(port), "-U", "shop", "-d", "postgres"]
    return subprocess.run([*argv, "-c", statement], check=False, capture_output=True)

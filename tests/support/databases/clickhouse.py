"""ClickHouse's own engine behind its HTTP interface, as its driver speaks to a server.

No package of a server of these years is at hand (Debian's is of 2018). The engine is, as a library (chdb); so this
module, run as a program, lends it the little of the interface that the driver uses: a statement comes in by POST, with
settings among the parameters, and goes out in the form that it asks for. Statements, types, settings and the words of
errors are ClickHouse's. Users and rights are not: the engine in a process has none.
"""

import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any, Self

from tests.support.databases.server import DatabaseServer
from tests.support.programs.processes import Program

_NO_SETTINGS = frozenset(
    {"database", "query", "query_id", "session_id", "client_protocol_version", "wait_end_of_query"}
)
"""Parameters of the interface; every other one is a setting of the statement."""


class ClickHouse(DatabaseServer):
    """One engine; `with` starts and ends it."""

    def __init__(self) -> None:
        super().__init__("clickhouse")
        argv = [sys.executable, "-m", __name__, str(self.port), str(self._folder)]
        self._server = Program(argv, self._log)

    def __enter__(self) -> Self:
        self._server.launch()
        self._server.wait_until(self._answers)
        return self

    def new_database(self) -> str:
        """A fresh, empty database; its address as people write it."""
        self._number += 1
        self.execute(f"CREATE DATABASE test{self._number}")
        return f"clickhouse://canary@127.0.0.1:{self.port}/test{self._number}"

    def execute(self, statement: str, database: str = "") -> str:
        """Execute a statement as the administrator; what it answers, as tab-separated text."""
        name = urllib.parse.urlsplit(database).path.removeprefix("/")
        address = f"http://127.0.0.1:{self.port}/?" + urllib.parse.urlencode({"database": name})
        with urllib.request.urlopen(urllib.request.Request(address, statement.encode())) as answer:
            return str(answer.read().decode())

    def _answers(self) -> bool:
        try:
            return self.execute("SELECT 1").strip() == "1"
        except (OSError, urllib.error.URLError):
            return False


def _serve(port: int, folder: str) -> None:
    engine: Any = import_module("chdb.session").Session(folder)  # it has no types, and takes half a second to import
    one_by_one = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200, b"Ok.\n")

        def do_POST(self) -> None:
            given = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            statement = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            settings = {key: value for key, value in given.items() if key not in _NO_SETTINGS}
            try:
                with one_by_one:
                    if given.get("database"):
                        engine.query(f"USE {given['database']}")
                    self._answer(200, engine.query(_with_settings(statement, settings), "TabSeparated").bytes())
            except RuntimeError as error:
                self._answer(500, str(error).encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def _with_settings(statement: str, settings: dict[str, str]) -> str:
    if not settings:
        return statement
    return f"{statement}\nSETTINGS " + ", ".join(f"{key}='{value}'" for key, value in settings.items())


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])

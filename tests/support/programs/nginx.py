"""A real nginx that runs the configuration which `canary generate` writes."""

import os
import shutil
from pathlib import Path

from canary.policy.release import Testers, Upstreams
from canary.policy.routers.sections import NginxRouter
from canary.routers.nginx.driver import NginxMarkerRouter
from tests.support.programs.hosts import HERE, Host
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, listens

_MAIN = """\
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/tmp;
    proxy_temp_path {folder}/tmp;
    fastcgi_temp_path {folder}/tmp;
    uwsgi_temp_path {folder}/tmp;
    scgi_temp_path {folder}/tmp;
    keepalive_requests 100000;
    {http}
    include {folder}/canary.conf;
}}
"""

_LOCAL_TESTERS = Testers(networks=("192.0.2.0/24",), header="X-Team: inside-1", cookie="team=inside")


class Nginx:
    """nginx in a folder of its own, in front of two upstreams.

    Args:
        folder: Empty folder for its configuration and markers.
        stable, canary: Upstream addresses.
        http: More directives for nginx' http level.
        host: Where it runs.
        changes: Policy keys of the router section that differ from the test's own.
    """

    def __init__(
        self, folder: Path, stable: str, canary: str, *, http: str = "", host: Host = HERE, **changes: object
    ) -> None:
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.host = host
        self.markers = folder / "markers"
        keys: dict[str, object] = {
            "kind": "nginx",
            "directories": (str(self.markers),),
            "listen": f"{host.address}:{self.port}",
            **({} if "slots" in changes else {"upstreams": Upstreams(stable=(stable,), canary=(canary,))}),
            "testers": _LOCAL_TESTERS,
            "configuration": str(folder / "nginx.conf"),
        }
        self.section = NginxRouter(**{**keys, **changes})  # type: ignore[arg-type]  # a test names the policy's keys
        self.router = NginxMarkerRouter(self.section)
        for name, text in self.router.snippet().items():
            (folder / name).write_text(text)
        (folder / "nginx.conf").write_text(self.main(folder, http))
        argv: list[str | Path] = [
            *host.enter,
            "nginx",
            "-p",
            folder,
            "-e",
            folder / "error.log",
            "-c",
            folder / "nginx.conf",
        ]
        self._program = Program(argv, folder / "nginx.log")

    @staticmethod
    def main(folder: Path, http: str = "") -> str:
        """A main configuration that keeps to *folder* and includes its `canary.conf`."""
        user = "user root;" if os.geteuid() == 0 else ""
        return _MAIN.format(folder=folder, http=http, user=user)

    @property
    def program(self) -> Program:
        """The running program, to be killed or stopped."""
        return self._program

    async def start(self) -> None:
        """Start it and wait until it listens."""
        await self._program.start(lambda: listens(self.port, self.host.address))

    async def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        await self.start()

    def wipe(self) -> None:
        """Remove the markers, as a reboot does with /run."""
        shutil.rmtree(self.markers, ignore_errors=True)

    def stop(self) -> None:
        """Stop it."""
        self._program.stop()

"""A real Envoy that runs the configuration which `canary generate` writes."""

import sysconfig
from pathlib import Path

from canary.policy.release import Testers, Upstreams
from canary.routers import router_of
from canary.routers.envoy.section import EnvoyRouter
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, listens

_LOCAL_TESTERS = Testers(networks=("192.0.2.0/24",), header="X-Team: inside-1", cookie="team=inside")

PROGRAM = Path(sysconfig.get_path("scripts")) / "envoy"
"""A wheel brings it."""


class Envoy:
    """Envoy in a folder of its own, in front of two upstreams.

    Args:
        folder: Empty folder for its configuration and admin socket.
        stable, canary: Upstream addresses.
        changes: Policy keys of the router section that differ from the test's own.
    """

    def __init__(self, folder: Path, stable: str, canary: str, *, tcp: bool = False, **changes: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        keys: dict[str, object] = {
            "kind": "envoy",
            "admins": (f"tcp:127.0.0.1:{free_port()}" if tcp else str(folder / "admin.sock"),),
            "listen": f"127.0.0.1:{self.port}",
            "upstreams": Upstreams(stable=(stable,), canary=(canary,)),
            "testers": _LOCAL_TESTERS,
        }
        self.section = EnvoyRouter(**{**keys, **changes})  # type: ignore[arg-type]  # a test names the policy's keys
        self.router = router_of(self.section)
        self.configuration = folder / "envoy.yaml"
        self.configuration.write_text(self.router.snippet()["envoy.yaml"])
        options = ["--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]
        self._program = Program([PROGRAM, "-c", self.configuration, *options], folder / "envoy.log")

    @property
    def program(self) -> Program:
        """The running program, to be killed or stopped."""
        return self._program

    async def start(self) -> None:
        """Start it and wait until its admin interface and its front answer."""

        async def ready() -> bool:
            return (await self.router.read()).weight_ratio is not None and await listens(self.port)

        await self._program.start(ready)

    def stop(self) -> None:
        """Stop it."""
        self._program.stop()

    async def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        await self.start()

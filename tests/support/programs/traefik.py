"""A real Traefik that runs the configuration which `canary generate` writes."""

import signal
import sysconfig
from pathlib import Path

from canary.policy.release import Testers, Upstreams
from canary.routers import router_of
from canary.routers.traefik.config import PLACEHOLDER
from canary.routers.traefik.section import TraefikRouter
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, listens

_LOCAL_TESTERS = Testers(networks=("127.9.0.0/16",), header="X-Team: inside-1", cookie="team=inside")


class Traefik:
    """Traefik in a folder of its own, in front of two upstreams.

    Args:
        folder: Empty folder for its configuration.
        stable, canary: Upstream addresses.
        token: what it asks a receiver with.
        changes: Policy keys of the router section that differ from the test's own.
    """

    def __init__(self, folder: Path, stable: str, canary: str, *, token: str = "", **changes: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        keys: dict[str, object] = {
            "kind": "traefik",
            "file": str(folder / "dynamic" / "canary.yml"),
            "apis": (f"http://127.0.0.1:{free_port()}",),
            "listen": f"127.0.0.1:{self.port}",
            "upstreams": Upstreams(stable=(stable,), canary=(canary,)),
            "testers": _LOCAL_TESTERS,
        }
        self.section = TraefikRouter(**{**keys, **changes})  # type: ignore[arg-type]  # a test names the policy's keys
        self.router = router_of(self.section)
        self.file = Path(self.section.file)
        self.file.parent.mkdir()
        files = self.router.snippet()
        self.file.write_text(files["canary.yml"])
        # What a shop's own traefik.yml says too: nothing of a test goes to Traefik's makers.
        static = files["traefik.yml"].replace(PLACEHOLDER, token)
        (folder / "traefik.yml").write_text(f"{static}global:\n  checkNewVersion: false\n")
        program = Path(sysconfig.get_path("scripts")) / "traefik"  # a wheel brings it
        self._program = Program([program, f"--configFile={folder / 'traefik.yml'}"], folder / "traefik.log")

    async def start(self) -> None:
        """Start it and wait until its API and its front answer."""

        async def ready() -> bool:
            return (await self.router.read()).weight_ratio is not None and await listens(self.port)

        await self._program.start(ready)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Stop it."""
        self._program.stop(by)

    close = stop

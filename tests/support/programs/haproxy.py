"""A real HAProxy that runs the configuration which `canary generate` writes."""

import signal
import time
from pathlib import Path

from canary.policy.release import Testers, Upstreams
from canary.policy.routers.sections import HaproxyRouter
from canary.routers.haproxy.driver import HAProxyRouter
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, eventually, listens

_LOCAL_TESTERS = Testers(networks=("192.0.2.0/24",), header="X-Team: inside-1", cookie="team=inside")

_RELOAD_SECONDS = 5.0


class HAProxy:
    """HAProxy in a folder of its own, in front of two upstreams.

    Args:
        folder: Empty folder for its configuration, map and socket.
        stable, canary: Upstream addresses.
        changes: Policy keys of the router section that differ from the test's own.
    """

    def __init__(self, folder: Path, stable: str, canary: str, *, tcp: bool = False, **changes: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.map = folder / "canary.map"
        socket = f"tcp:127.0.0.1:{free_port()}" if tcp else str(folder / "canary.sock")
        keys: dict[str, object] = {
            "kind": "haproxy",
            "sockets": (socket,),
            "map": str(self.map),
            "listen": f"127.0.0.1:{self.port}",
            **({} if "slots" in changes else {"upstreams": Upstreams(stable=(stable,), canary=(canary,))}),
            "testers": _LOCAL_TESTERS,
        }
        self.section = HaproxyRouter(**{**keys, **changes})  # type: ignore[arg-type]  # a test names the policy's keys
        self.router = HAProxyRouter(self.section)
        for name, text in self.router.snippet().items():
            (folder / name).write_text(text)
        self._program = Program(["haproxy", "-W", "-db", "-f", folder / "haproxy.cfg"], folder / "haproxy.log")

    @property
    def program(self) -> Program:
        """The running program, to be killed or stopped."""
        return self._program

    async def start(self) -> None:
        """Start it and wait until its socket and its front answer, and its master takes signals."""
        before = self._loadings()

        async def ready() -> bool:
            observation = await self.router.read()
            return observation.weight_ratio is not None and await listens(self.port) and self._loadings() > before

        await self._program.start(ready)

    async def reload(self) -> None:
        """Reload it as an administrator would, and wait until the new worker has taken over."""
        before = self._loadings()
        signalled = 0.0

        def taken_over() -> bool:
            nonlocal signalled
            if time.monotonic() - signalled > _RELOAD_SECONDS:  # a master that is just starting over is deaf
                self._program.send_signal(signal.SIGUSR2)
                signalled = time.monotonic()
            return self._loadings() > before

        await eventually(taken_over, "HAProxy's reload")

    async def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        await self.start()

    def stop(self) -> None:
        """Stop it."""
        self._program.stop()

    def _loadings(self) -> int:
        """How often its master has reported that a worker took over; before that it is deaf to signals."""
        return self._program.log().count("Loading success")

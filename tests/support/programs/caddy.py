"""A real Caddy that runs the example of docs/routers/other.md, and the example's two programs."""

import sys
import sysconfig
from pathlib import Path

from canary.policy.routers.sections import CommandRouter
from canary.routers.command import ProgramRouter
from tests.support.documents.pages import DOCS
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, listens


def copied(example: str, folder: Path, moves: dict[str, str], *arguments: str) -> ProgramRouter:
    """The example's files with other addresses, and the router that they are; its programs get the arguments."""
    folder.mkdir(exist_ok=True)
    for file in (DOCS / "examples" / example).iterdir():
        text = file.read_text(encoding="utf-8").replace("#!/usr/bin/env python3", f"#!{sys.executable}")
        for old, new in moves.items():
            text = text.replace(old, new)
        (folder / file.name).write_text(text, encoding="utf-8")
        (folder / file.name).chmod(0o755)
    programs = {name: (str(folder / f"{name}-weight"), *arguments) for name in ("set", "read")}
    return ProgramRouter(CommandRouter(kind="command", timeout=30, **programs))  # type: ignore[arg-type]  # two of its keys


class Caddy:
    """Caddy in a folder of its own, in front of two upstreams.

    Args:
        folder: Folder for its configuration and split.
        stable, canary: Upstream addresses.
    """

    def __init__(self, folder: Path, stable: str, canary: str) -> None:
        self.port = free_port()
        self.split = folder / "split"
        moves = {
            ":80 {": f":{self.port} {{",
            "/var/lib/kpi-canary/caddy": str(folder),
            "10.0.1.10:5000": stable,
            "10.0.1.20:5000": canary,
            "canary_id": "user_id",
        }
        self.router = copied("caddy", folder, moves)
        main = folder / "Caddyfile"
        main.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + main.read_text())
        program = Path(sysconfig.get_path("scripts")) / "caddy"
        self._program = Program([program, "run", "--config", main], folder / "caddy.log", {"HOME": str(folder)})

    async def start(self) -> None:
        """Start it and wait until its front answers."""
        await self._program.start(lambda: listens(self.port))

    def stop(self) -> None:
        """Stop it."""
        self._program.stop()

    close = stop

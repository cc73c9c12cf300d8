"""Drives Traefik: writes the dynamic configuration as a whole, and believes Traefik's API about what is in force.

The file is also what a restart begins with, so that nothing is kept in two places. Traefik takes a new file without
closing a connection, some milliseconds after it was renamed into place; one that it refuses leaves the old one in
force, which only its API tells. So a change counts when every instance shows it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from canary.errors import RouterError, reason
from canary.finding import Finding, failed
from canary.routers import files
from canary.routers.answers import ODD, json_of
from canary.routers.base import FINEST_RATIO, Observation, Split, TellsNothingOfServers
from canary.routers.traefik import config
from canary.routers.traefik.section import TraefikRouter
from canary.routers.traefik.shown import Shown
from canary.threads import OwnThread, Threads


class TraefikFileRouter(TellsNothingOfServers):
    """Writes what Traefik's file provider watches.

    Args:
        section: The policy's `router` section of kind `traefik`.
        thread: Makes a thread, for the file may be on a server that hangs.
    """

    finest_ratio = FINEST_RATIO

    def __init__(self, section: TraefikRouter, thread: Callable[[str], Threads] = OwnThread) -> None:
        self.name = section.name
        self._section = section
        self._path = Path(section.file)
        self._thread = thread(f"router {section.name}")
        self._shown = Shown(section, "file")

    async def set_weight(self, split: Split) -> None:
        """Write the file, and wait until every instance shows it.

        Raises:
            RouterError: the file cannot be written, or an instance does not have the split in force in time.
        """
        place = f"router {self.name}"
        text = config.as_text(config.document(self._section, split))
        try:
            async with asyncio.timeout(self._section.timeout):
                await self._thread.run(partial(self._write, text))
                await self._shown.until(split)
        except TimeoutError as error:
            what = f"{self._path} is written and not in force: {self._shown.last.detail or 'no answer'}"
            remedy = "see Traefik's log, and that its file provider watches this file"
            raise RouterError(what, place=place, remedy=remedy) from error
        except OSError as error:
            raise RouterError(f"{self._path} cannot be written ({error.strerror})", place=place) from error

    async def read(self) -> Observation:
        """What each Traefik's API shows."""
        return await self._shown.read()

    async def check(self) -> list[Finding]:
        """An API that does not answer, a file that cannot be written or says something else."""
        place = f"router {self.name}"
        readings = (await self.read()).readings
        remedy = "start Traefik with the generated traefik.yml, or give it this entry point, API and file"
        findings = [failed(f"{place}: {one.instance}", one.error, remedy) for one in readings if one.error]
        try:
            weight = config.weight_of(await self._thread.run(self._written))[0] / config.PARTS
            await self._thread.run(partial(files.probe, self._path.parent))
        except (OSError, *ODD) as error:
            remedy = "install the generated file there, and let this user write its folder"
            return [*findings, failed(f"{place}: {self._path}", f"cannot be used ({reason(error)})", remedy)]
        for one in readings:
            if one.weight_ratio is not None and one.weight_ratio != weight:
                what = f"says another weight than {one.instance} has in force"
                findings.append(failed(f"{place}: {self._path}", what, "see Traefik's log for why it refuses the file"))
        return findings

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this address to the canary."""
        return config.is_canary(user_id, split)

    def snippet(self) -> Mapping[str, str]:
        """`traefik.yml` (or `NAME.yml`), and the dynamic file, which sends everybody to stable."""
        return config.files(self._section)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # whatever cannot be read is replaced
            if files.text_of(self._path) == text:
                return
        files.write(self._path, text)

    def _written(self) -> Any:
        found = json_of(files.text_of(self._path))
        return found["http"]["services"][config.SPLIT]["highestRandomWeight"]["services"]

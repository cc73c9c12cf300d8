"""A router kind for an edge of one's own that reads its canary's weight from a JSON file.

The edge sends a user to the canary when xxh32("SALT:USER") mod 10000 is less than `weight` * 10000.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from canary.errors import RouterError
from canary.finding import Finding, failed
from canary.policy.finish import Probe
from canary.policy.release import Testers, Upstreams
from canary.policy.routers.kinds import RouterKind
from canary.policy.values.types import Identifier, RouterTimeout, Text, section
from canary.routers.base import FINEST_RATIO, Observation, Reading, Split
from canary.routers.bucket import HAPROXY_BUCKETS, haproxy_bucket
from canary.threads import Threads


@section
class EdgeFile:
    """What the policy says: the keys of every router, and one of this kind's own."""

    kind: Literal["edge-file"]
    name: Identifier = "edge"
    file: Text
    """The file that the edge reads, with every request."""
    upstreams: Upstreams = Upstreams()
    probe: Probe | None = None
    testers: Testers = Testers()
    timeout: RouterTimeout = 2


class EdgeFileRouter:
    """Puts a split into the file, and believes what it reads there."""

    finest_ratio = FINEST_RATIO

    def __init__(self, section: EdgeFile, thread: Callable[[str], Threads]) -> None:
        self.name = section.name
        self._path = Path(section.file)
        self._thread = thread(f"router {section.name}")  # a file server may hang; only this thread waits for it

    async def set_weight(self, split: Split) -> None:
        """Write the file as a whole, read it back."""
        try:
            await self._thread.run(lambda: self._write(split))
        except OSError as error:
            raise RouterError(f"cannot be written ({error.strerror})", place=f"router {self.name}") from error
        seen = await self.read()
        if not seen.agrees(split):
            raise RouterError(f"found {seen.detail} after writing", place=f"router {self.name}")

    async def read(self) -> Observation:
        """What the file says; one that is missing or damaged is unknown, never 0 %."""
        try:
            found = json.loads(await self._thread.run(self._path.read_bytes))
            reading = Reading(self.name, found["weight"], found["salt"], found["testers"], found["testers_alone"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            reading = Reading(self.name, None, error=f"{self._path} cannot be read: {error}")
        return Observation((reading,))

    async def check(self) -> list[Finding]:
        """Whether a new file could be written."""
        if os.access(self._path.parent, os.W_OK):
            return []
        return [failed(f"router {self.name}", f"{self._path.parent} cannot be written", "give this user the folder")]

    async def unhealthy(self) -> Mapping[str, str]:
        """Nothing: this edge checks no servers."""
        return {}

    async def sessions(self, lasting_seconds: float) -> int | None:  # noqa: ARG002  # it is the same for a new process
        """This edge does not count what is left on the canary."""
        return None

    def is_canary(self, user_id: str, split: Split) -> bool:
        """The edge's own arithmetic."""
        return haproxy_bucket(user_id, split.salt) < round(split.weight_ratio * HAPROXY_BUCKETS)

    def snippet(self) -> Mapping[str, str]:
        """The file to begin with: everybody is on stable."""
        return {self._path.name: self._text(Split("none", 0.0, testers=False))}

    def _write(self, split: Split) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(self._text(split), encoding="utf-8")
        fresh.replace(self._path)  # at every moment the edge reads the old file or the new one

    def _text(self, split: Split) -> str:
        salt = split.salt if split.weight_ratio else None
        testers = bool(split.testers and split.weight_ratio)
        entries = {"weight": split.weight_ratio, "salt": salt, "testers": testers}
        return json.dumps({**entries, "testers_alone": split.testers_alone})


def faults(section: EdgeFile) -> Iterator[tuple[str, str, str]]:
    """What no type can say."""
    if not section.file.startswith("/"):
        yield "file", "is no absolute path", "the edge and the receiver run in different folders"


KIND = RouterKind(section=EdgeFile, driver=EdgeFileRouter, faults=faults)

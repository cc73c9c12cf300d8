"""The shop's servers: what both groups run, and what they say when they are asked.

Nobody but a deployment changes what the stable servers run, and nobody deploys but the release that is being finished.
So what customers get is known here, whatever routers and receivers believe.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from canary.testing.http import Answer, Parameters
from simulation.stories.story import CANARY, STABLE

# Longer than the receivers take to ask all servers, so that they find some of them between two versions.
_DEPLOYS_SECONDS = 3.0


@dataclass
class Fleet:
    """What runs where.

    Attributes:
        runs: by host, its version; whoever starts a rollout has put it on the canary's.
        down: hosts that do not answer.
        stable_host: gives the host whose role is stable now; with `router.slots` that changes.
    """

    runs: dict[str, str] = field(default_factory=lambda: {STABLE: "v1.0", CANARY: ""})
    down: set[str] = field(default_factory=set)
    stable_host: Callable[[], str] = lambda: STABLE

    @property
    def stable(self) -> str:
        """The version on the stable servers."""
        return self.runs[self.stable_host()]

    @property
    def canary(self) -> str:
        """The version on the canary's servers."""
        return self.runs[self._canary_host]

    @property
    def _canary_host(self) -> str:
        return CANARY if self.stable_host() == STABLE else STABLE

    def place(self, version: str) -> None:
        """The canary's servers get a version."""
        self.runs[self._canary_host] = version

    async def deploy(self, version: str) -> None:
        """The stable servers get a version, in a while."""
        await asyncio.sleep(_DEPLOYS_SECONDS)
        self.runs[self.stable_host()] = version

    async def answer(self, host: str, _path: str, _parameters: Parameters) -> Answer:
        """A server says what it runs."""
        version = self.runs[host]
        return Answer(503) if host in self.down or not version else Answer(body={"version": version})

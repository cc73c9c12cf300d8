"""The shop's servers: what both groups run, and what they say when they are asked.

Nobody but a deployment changes what the stable servers run, and nobody deploys but the release that is being finished.
So what customers get is known here, whatever routers and receivers believe.
"""

import asyncio
from dataclasses import dataclass, field

from canary.testing.http import Answer, Parameters
from simulation.story import STABLE

# Longer than the receivers take to ask all servers, so that they find some of them between two versions.
_DEPLOYS_SECONDS = 3.0


@dataclass
class Fleet:
    """What runs where.

    Attributes:
        stable: the version on the stable servers.
        canary: the version on the canary's servers; whoever starts a rollout has put it there.
        down: hosts that do not answer.
    """

    stable: str = "v1.0"
    canary: str = ""
    down: set[str] = field(default_factory=set)

    async def deploy(self, version: str) -> None:
        """The stable servers get a version, in a while."""
        await asyncio.sleep(_DEPLOYS_SECONDS)
        self.stable = version

    async def stable_answer(self, _path: str, _parameters: Parameters) -> Answer:
        """A stable server says what it runs."""
        return Answer(503) if STABLE in self.down else Answer(body={"version": self.stable})

    async def canary_answer(self, _path: str, _parameters: Parameters) -> Answer:
        """A canary server says what it runs."""
        return Answer(body={"version": self.canary}) if self.canary else Answer(503)

"""A shop's servers in memory: what each runs, and a deployment that changes that."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from canary.errors import ProcessError
from canary.rollout.state import Rollout
from canary.testing.hooks import Hook, calm


@dataclass
class MemoryDeployment:
    """A deployment of stable servers in memory.

    Attributes:
        configured: whether there is one.
        done: the versions that were deployed, in order.
        refuses: why it fails; empty when it works.
        deploys: does it; told the version.
        before, after: what happens around it, as `deploy`.
    """

    configured: bool = False
    done: list[str] = field(default_factory=list)
    refuses: str = ""
    deploys: Callable[[str], Awaitable[None]] | None = None
    before: Hook = calm
    after: Hook = calm

    async def run(self, rollout: Rollout) -> None:
        """Deploy the canary's version.

        Raises:
            ProcessError: it refuses.
        """
        await self.before("deploy")
        if self.refuses:
            raise ProcessError(self.refuses, place="process.deploy_stable")
        if self.deploys is not None:
            await self.deploys(rollout.canary)
        self.done.append(rollout.canary)
        await self.after("deploy")

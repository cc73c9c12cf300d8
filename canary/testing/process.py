"""A canary process in memory."""

from dataclasses import dataclass, field

from canary.errors import ProcessError
from canary.process.manager import ProcessState
from canary.testing.hooks import Hook, calm


@dataclass
class MemoryProcess:
    """A process that is started and stopped in memory.

    Attributes:
        now: what it is.
        done: what was done to it, in order.
        refuses: whether it runs on although it was told to stop.
        before, after: what happens around each operation, `start`, `stop` or `state`.
    """

    managed: bool = True
    starts: bool = True
    now: ProcessState = ProcessState.STOPPED
    done: list[str] = field(default_factory=list)
    refuses: bool = False
    before: Hook = calm
    after: Hook = calm

    async def start(self) -> ProcessState:
        """Start it."""
        self.done.append("start")
        await self.before("start")
        self.now = ProcessState.RUNNING
        await self.after("start")
        return self.now

    async def stop(self) -> ProcessState:
        """Stop it."""
        self.done.append("stop")
        await self.before("stop")
        if self.refuses:
            raise ProcessError("expected stopped, found running", place="process canary")
        self.now = ProcessState.STOPPED
        self.done.append("stopped")
        await self.after("stop")
        return self.now

    async def state(self) -> ProcessState:
        """What it is."""
        await self.before("state")
        state = self.now
        await self.after("state")
        return state

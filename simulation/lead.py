"""Leadership as receivers on one PostgreSQL have it: their own code, on a model of the database's lock."""

import asyncio
from dataclasses import dataclass

from sqlalchemy.engine import make_url

from alertmanager.receiver.lead.postgres import _PATIENCE_SECONDS, PostgresLeader
from canary.testing.hooks import Hook
from canary.testing.loop import Machine
from canary.timing.clock import Clock

_URL = make_url("postgresql+asyncpg://canary@db/canary")


@dataclass
class Lock:
    """The advisory lock with its heartbeat: held by a connection, and gone with it.

    Attributes:
        holder: whose connection has it.
        held_until: until when each machine was known to have it, by the world's time.
    """

    holder: Machine | None = None
    epoch: int = 0
    beat_at: float = 0.0

    def __post_init__(self) -> None:
        """Nobody has held it."""
        self.held_until: dict[Machine, float] = {}

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def held(self, machine: Machine) -> bool:
        """Whether a connection has it now; the kernel closes those of the dead."""
        if self.holder is not None and not self.holder.alive:
            self._lose()
        if self.holder is machine:
            self.held_until[machine] = self._now()
        return self.holder is machine

    def lately(self, machine: Machine, seconds: float) -> bool:
        """Whether a machine has it, or had it until a moment ago."""
        return self.held(machine) or self._now() - self.held_until.get(machine, float("-inf")) <= seconds

    def take(self, machine: Machine) -> bool:
        """Try to get it; a holder whose heart does not beat is disconnected."""
        if not self.held(machine) and self.holder is not None:
            if self._now() - self.beat_at > _PATIENCE_SECONDS:
                self._lose()
            return False
        self.holder, self.epoch, self.beat_at = machine, self.epoch + 1, self._now()
        return True

    def beat(self, machine: Machine, epoch: int) -> bool:
        """Write a heartbeat, if the lock is still this one's."""
        if not self.held(machine) or self.epoch != epoch:
            return False
        self.beat_at = self._now()
        return True

    def drop(self, machine: Machine) -> None:
        """A connection ends."""
        if self.held(machine):
            self._lose()

    def _lose(self) -> None:
        if self.holder is not None:
            self.held_until[self.holder] = self._now()
        self.holder = None


class SimulatedLeader(PostgresLeader):
    """The real leader; only its three statements reach the model instead of a database.

    Args:
        before, after: the way to the database and back.
    """

    def __init__(self, lock: Lock, machine: Machine, clock: Clock, before: Hook, after: Hook) -> None:
        super().__init__(_URL, "shop", clock)
        self._lock = lock
        self._machine = machine
        self._before = before
        self._after = after

    async def _take(self) -> bool:
        await self._before("lock")
        taken = self._lock.take(self._machine)
        if taken:
            self.epoch = self._lock.epoch
        await self._after("lock")
        return taken

    async def _beat(self) -> bool:
        await self._before("beat")
        beaten = self._lock.beat(self._machine, self.epoch)
        await self._after("beat")
        return beaten

    async def _hang_up(self) -> None:
        # A client that gives up closes its socket; whether the server hears of it depends on the network, and the next
        # one to take the lock waits for the heartbeat's patience in any case.
        await asyncio.sleep(0)
        self._lock.drop(self._machine)

"""What lies between a receiver and the rest of the world: time, and what can go wrong with a question or its answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from canary.testing.hooks import Hook
from canary.testing.loop import MACHINE, Machine

# A question and its answer each take up to this long when all is well, and when a peer is slow. Most of the quick ones
# take no time at all, as within one machine: then nothing comes in between, and a world costs half as much to live.
_QUICK_SECONDS = 0.02
_QUICK_RATIO = 0.4
SLOW_SECONDS = 1.5  # below every time limit: slow, and not away


@dataclass
class Network:
    """All connections.

    Attributes:
        random: draws latencies.
        away: peers that nobody reaches.
        slow: peers that answer slowly.
        deaf: peers whose answers get lost, after what was asked has been done.
        full: operations on a peer that it refuses, as a full disk refuses to be written.
        cut: pairs of a machine's name and a peer that do not reach each other.
        traps: machines that die at their next call to a peer: by name and peer, before or after it is carried out.
        sprung: told of a machine that has died so.
    """

    random: Random
    away: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    full: set[tuple[str, str]] = field(default_factory=set)
    cut: set[tuple[str, str]] = field(default_factory=set)
    traps: dict[tuple[str, str], str] = field(default_factory=dict)
    sprung: Callable[[Machine], None] = lambda _: None

    def hooks(
        self, peer: str, error: Callable[[str], Exception], patience_seconds: float, operations: str = ""
    ) -> tuple[Hook, Hook]:
        """What happens before and after each operation on a peer.

        Args:
            error: what the client's driver makes of a peer that does not answer.
            patience_seconds: how long it waits for one.
            operations: the only ones at which a trap springs; all when empty.
        """

        async def before(operation: str) -> None:
            if self.traps:
                await self._spring(peer, operation, operations, "before")
            await self._travel(peer)
            if (peer, operation) in self.full:
                raise error(f"{peer}: no space left")
            if self._unreachable(peer):
                await asyncio.sleep(self.random.choice((0.001, patience_seconds)))
                raise error(f"{peer}: no answer")

        async def after(operation: str) -> None:
            if self.traps:
                await self._spring(peer, operation, operations, "after")
            await self._travel(peer)
            if peer in self.deaf or self._unreachable(peer):
                await asyncio.sleep(patience_seconds)
                raise error(f"{peer}: the answer was lost")

        return before, after

    async def _travel(self, peer: str) -> None:
        chance = self.random.random()
        if peer in self.slow:
            await asyncio.sleep(chance * SLOW_SECONDS)
        elif chance < _QUICK_RATIO:
            await asyncio.sleep(chance / _QUICK_RATIO * _QUICK_SECONDS)

    def _unreachable(self, peer: str) -> bool:
        if peer in self.away or not self.cut:
            return peer in self.away
        machine = MACHINE.get()
        return machine is not None and (machine.name, peer) in self.cut

    async def _spring(self, peer: str, operation: str, operations: str, side: str) -> None:
        machine = MACHINE.get()
        if machine is None or self.traps.get((machine.name, peer)) != side or operations not in ("", operation):
            return
        del self.traps[machine.name, peer]
        machine.kill()
        self.sprung(machine)
        await asyncio.get_running_loop().create_future()  # a killed program never comes back

"""What is killed and stopped while rollouts go on: one part at a time, at random, and it always comes back."""

import asyncio
import math
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from tests.support.programs.processes import Program

# Between two blows: long enough for the receiver to start in between, short enough that a rollout meets several.
_CALM_SECONDS = 2.5
_SHORTEST_ABSENCE_SECONDS, _LONGEST_ABSENCE_SECONDS = 0.1, 1.5


@dataclass(frozen=True)
class Victim:
    """One part of the chain.

    Attributes:
        revive: starts it on what it has left; None for one that is stopped by SIGSTOP only.
    """

    name: str
    program: Program
    revive: Callable[[], Awaitable[None]] | None


@dataclass
class Killer:
    """Strikes until it is cancelled; what it took down is up again then.

    Attributes:
        killed, stopped: how often, by the victim's name.
        absences: from when until when each victim was away, every time, by the wall clock.
    """

    victims: list[Victim]
    random: Random
    killed: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    absences: defaultdict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    _blow: asyncio.Task[None] | None = None

    async def strike(self) -> None:
        """For ever: one part after the other, a while each."""
        while True:
            await asyncio.sleep(self.random.expovariate(1 / _CALM_SECONDS))
            victim = self.random.choice(self.victims)
            self._blow = asyncio.create_task(self._take_down(victim))
            await asyncio.shield(self._blow)

    async def settle(self) -> None:
        """Let what is down come up again."""
        if self._blow is not None:
            await self._blow

    async def _take_down(self, victim: Victim) -> None:
        began, absence_seconds = time.time(), self.random.uniform(_SHORTEST_ABSENCE_SECONDS, _LONGEST_ABSENCE_SECONDS)
        self.absences[victim.name].append((began, math.inf))
        if victim.revive is not None and self.random.choice((True, False)):
            self.killed[victim.name] += 1
            victim.program.stop(signal.SIGKILL)
            await asyncio.sleep(absence_seconds)
            await victim.revive()
        else:
            self.stopped[victim.name] += 1
            victim.program.pause()
            await asyncio.sleep(absence_seconds)
            victim.program.resume()
        self.absences[victim.name][-1] = (began, time.time())

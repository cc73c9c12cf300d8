"""What the canary's servers still serve when no more is routed to them: its time, and no more than it needs.

A process that is stopped at once cuts the requests that it was answering, and one that is always given the same time is
given too much of it in most rollouts and too little where downloads or websockets last for minutes. So the routers are
asked what is left, and the policy's time is the most that is waited. A router that cannot tell (nginx counts the
connections of the whole server only) has that time waited for it: unknown is not nothing.
"""

import asyncio

from alertmanager.receiver.act.effects import Effects
from canary.errors import RouterError
from canary.logs import Log
from canary.timing.clock import Clock

# How often the routers are asked; and how many times in a row they must say that nothing is left: a request that was
# routed in the very moment of the switch stands in no count yet.
_LOOK_SECONDS = 0.25
_EMPTY_LOOKS = 2


class Drain:
    """Waits until nothing is left.

    Args:
        most_seconds: the longest that is waited.
    """

    def __init__(self, effects: Effects, clock: Clock, most_seconds: float) -> None:
        self._effects = effects
        self._clock = clock
        self._most_seconds = most_seconds
        self._log = Log("drain")

    async def wait(self, rollout: str, since: float) -> None:
        """Wait for what was routed to a rollout's canary before *since*, a moment of the monotonic clock."""
        ends = min(since, self._clock.monotonic()) + self._most_seconds
        left: int | None = None
        empty_looks = 0
        while (remaining := ends - self._clock.monotonic()) > 0:
            left = await self._left()
            if left is None:
                await self._clock.sleep(remaining)
                return
            empty_looks = 0 if left else empty_looks + 1
            if empty_looks == _EMPTY_LOOKS:
                return
            await self._clock.sleep(min(remaining, _LOOK_SECONDS))
        if left:
            self._log.warn("the time for what is left is over", rollout=rollout, sessions=left)

    async def _left(self) -> int | None:
        """What is left by all routers' counts; None where nobody can tell."""
        names = self._effects.router_names
        try:
            counts = await asyncio.gather(*(self._effects.sessions(name, self._most_seconds) for name in names))
        except RouterError:
            return None
        return sum(count or 0 for count in counts) if names and None not in counts else None

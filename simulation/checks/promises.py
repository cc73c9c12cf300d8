"""What all checks share: the world that they look at, and how a broken promise is told.

The tolerances say what nobody can promise: between a question and its answer there is the network, and a machine that
was paused between an answer and its effect acts on what was true before. Whatever comes of that must be put right.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from canary.policy.model import Policy
from canary.policy.routers.slots import Slot
from canary.testing.loop import Machine
from canary.testing.process import MemoryProcess
from canary.testing.routers import MemoryRouter
from canary.testing.targets import MemoryTargets
from simulation.lead import Lock
from simulation.surroundings.fleet import Fleet
from simulation.truth import Truth

# Between the question whether a split is still wanted and its arrival at the router: a slow network both ways, and the
# lead's own question.
IN_FLIGHT_SECONDS = 6.0
# Two hosts' clocks differ by up to a percent (`Story.rates`); with half a percent more, that alone breaks no promise.
RATE = 0.985


def moment() -> float:
    """The world's time."""
    return asyncio.get_running_loop().time()


def just_woken(machine: Machine) -> bool:
    """Whether it was paused so lately that it may act on what it learned before."""
    return moment() - machine.resumed_at <= IN_FLIGHT_SECONDS


@dataclass
class Promises:
    """Holds the promises against what happens.

    Attributes:
        broken: what was found, in words; the first ends the world.
        healthy_since: since when no fault is in force; None while one is.
        rough_since: when something last kept a receiver from the routers, or still does (then it is in the future).
        restored: whether the journal was ever replaced by an older copy.
        obeyed: routers that a person has lowered while nothing else was wrong, with the weight.
        blind: gives the hosts whose receiver has to roll a rollout back for the heartbeat's silence, with the rollout.
        blind_since: since when each has had to.
        disturbed_at: when something last happened that may make a message arrive twice.
    """

    policy: Policy
    truth: Truth
    routers: Sequence[MemoryRouter]
    processes: Mapping[Slot, MemoryProcess]
    fleet: Fleet
    targets: MemoryTargets
    lock: Lock
    stop: Callable[[], None]
    broken: list[str] = field(default_factory=list)
    healthy_since: float | None = 0.0
    disturbed_at: float = float("-inf")
    restored: bool = False
    rough_since: float = float("-inf")
    obeyed: dict[str, float] = field(default_factory=dict)
    blind: Callable[[], set[tuple[str, str]]] = set
    blind_since: dict[tuple[str, str], float] = field(default_factory=dict)

    def fail(self, promise: str, what: str) -> None:
        """A promise is broken."""
        self.broken.append(f"{promise}: {what}")
        self.stop()

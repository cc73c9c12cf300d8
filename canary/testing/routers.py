"""A router in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from canary.errors import RouterError
from canary.finding import Finding
from canary.routers.base import FINEST_RATIO, Observation, Reading, Split
from canary.testing.hooks import Hook, calm

CLOSED = Split("none", 0.0, testers=False)
"""What a router has in force that nobody has told anything."""


@dataclass
class MemoryRouter:
    """A router that has in force what was set last.

    As with HAProxy, what is in force and what a restart begins with are kept apart: the map in memory, and its file.

    Attributes:
        split: what is in force.
        saved: what is in force after a restart.
        finest_ratio: the smallest difference between two weights that it can have; set to a finer one, it refuses.
        process: which process of the router has it in force; another one after each restart.
        tells_salt: whether it says whose traffic it has.
        slots: whether its groups are slots; then slot a is the stable one where nobody has recorded another.
        away: whether it cannot be reached.
        claims: what it says that it has in force, when that is not what it has.
        in_flight: what is still on the canary's servers; None where it cannot tell, as an nginx.
        unwell: by address, what its checks say against stable servers.
        set: every split that was put into force, in order.
        before, after: what happens around each operation, `set` or `read`.
        changed: told of each change with what was in force before.
    """

    name: str = "edge"
    split: Split = CLOSED
    saved: Split = CLOSED
    finest_ratio: float = FINEST_RATIO
    tells_salt: bool = True
    slots: bool = False
    process: str = "1/100"
    away: bool = False
    claims: Split | None = None
    in_flight: int | None = None
    unwell: dict[str, str] = field(default_factory=dict)
    set: list[Split] = field(default_factory=list)
    before: Hook = calm
    after: Hook = calm
    changed: Callable[[Split], None] = lambda _: None

    async def set_weight(self, split: Split) -> None:
        """Put it into force at once, and for the time after a restart."""
        await self.before("set")
        if self.away:
            raise RouterError("is unreachable", place=f"router {self.name}")
        steps = split.weight_ratio / self.finest_ratio
        if abs(steps - round(steps)) * self.finest_ratio > FINEST_RATIO / 2:
            raise RouterError(f"cannot have {split.weight_ratio:.2%} in force", place=f"router {self.name}")
        if self.slots and split.stable_slot is None:
            split = replace(split, stable_slot=self.split.stable_slot)
        self.set.append(split)
        self._put(split)
        self.saved = split
        await self.after("set")

    async def read(self) -> Observation:
        """What is in force, or what it claims."""
        await self.before("read")
        if self.away:
            return Observation((Reading(self.name, None, error="is unreachable"),))
        shown = self.claims or self.split
        weight = shown.weight_ratio
        observation = Observation(
            (
                Reading(
                    self.name,
                    weight,
                    shown.salt if self.tells_salt and (weight or not self.slots) else None,
                    testers=shown.testers and weight > 0,
                    testers_alone=shown.testers_alone,
                    process=self.process,
                    closed=self.tells_salt and not (self.slots or weight or shown.testers_alone),
                    stable_slot=shown.stable_slot or ("a" if self.slots else None),
                ),
            )
        )
        await self.after("read")
        return observation

    async def check(self) -> list[Finding]:
        """Nothing is wrong."""
        return []

    async def unhealthy(self) -> dict[str, str]:
        """What the router's checks say against stable servers."""
        return dict(self.unwell)

    async def sessions(self, lasting_seconds: float) -> int | None:  # noqa: ARG002  # it is never a new process's
        """What is still on the canary's servers."""
        if self.away:
            raise RouterError("is unreachable", place=f"router {self.name}")
        return self.in_flight

    def is_canary(self, user_id: str, split: Split) -> bool:  # noqa: ARG002  # nobody asks
        """Nobody is."""
        return False

    def snippet(self) -> dict[str, str]:
        """No configuration."""
        return {}

    def restart(self, *, saved: Split | None = None) -> None:
        """Begin with what was saved, or with *saved*, as a router does whose map is an old one."""
        self.process = f"{int(self.process.partition('/')[0]) + 1}/100"
        self.saved = self.saved if saved is None else saved
        self._put(self.saved)

    def change_by_hand(self, ratio: float) -> None:
        """Somebody sets another share, past the receiver; whose traffic it is stays."""
        self._put(replace(self.split, weight_ratio=ratio, testers_alone=False))

    def copy_by_hand(self, split: Split) -> None:
        """Somebody sets all that another router has, for the time after a restart too."""
        self._put(split)
        self.saved = split

    def _put(self, split: Split) -> None:
        before, self.split = self.split, split
        self.changed(before)

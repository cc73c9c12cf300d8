"""What every traffic router can do, and what it says about itself.

Two rules hold for every kind. A router is believed only when it is *read back*: an exit status or an answer says that a
command arrived, not what is in force. And a router may have several instances, each read by itself: a weight has
changed when all of them agree, and what cannot be read agrees with nothing, so that "0 %" never comes from silence.

The rollout's id travels to sockets, file names and programs. It is checked here, once, so that it can be no path, no
option and no second command anywhere behind.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from canary.errors import RouterError
from canary.finding import Finding
from canary.policy.routers.slots import Slot
from canary.routers.bucket import salt_of
from canary.units import format_ratio

# Letters, digits and what stands in version numbers; no blank, `;` or `/`, and nothing that begins like an option.
_ROLLOUT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")

FINEST_RATIO = 0.0001
"""The finest weight that a policy can write, 0.01 %, and that any router knows."""

# What rounding adds is far less than half of the finest weight, and a weight that is wanted far more.
_TOLERANCE_RATIO = FINEST_RATIO / 2

# More than any weight has: what the subtraction of a share adds is cut off.
_DIGITS = 9


# What the generated configurations tell the shop about a request: they overwrite what a client sends under these names.
USER_HEADER = "X-Canary-User"
TESTER_HEADER = "X-Canary-Tester"


@dataclass(frozen=True, slots=True)
class Split:
    """The wanted division of traffic.

    Args:
        rollout: Identifies the rollout; it salts the choice of users, so that each rollout has other ones.
        weight_ratio: The canary's traffic weight: the ratio of users that it gets, 0 to 1. At 0 nobody reaches the
            canary, testers included, unless they are let in alone.
        testers: Whether the policy's testers reach the canary whatever their place, while others do.
        testers_alone: At a weight of 0, testers reach the canary and nobody else. It is a word of its own, so that
            whoever lowers a weight to 0 by hand closes the canary for testers too.
        stable_slot: With `router.slots`, the slot that is stable; the other one is the canary's. None without slots,
            and where nobody has said so: then what the router has recorded stays.

    Raises:
        RouterError: the rollout's id or the weight is not one that may be handed to a router.
    """

    rollout: str
    weight_ratio: float
    testers: bool = True
    testers_alone: bool = False
    stable_slot: Slot | None = None

    def __post_init__(self) -> None:
        if not _ROLLOUT.fullmatch(self.rollout):
            raise RouterError(
                f"expected up to 64 letters, digits and any of `._+-`, beginning with a letter or digit, "
                f"found {self.rollout!r}",
                place="rollout id",
            )
        if not (math.isfinite(self.weight_ratio) and 0 <= self.weight_ratio <= 1):
            raise RouterError(
                f"expected a ratio from 0 to 1, found {self.weight_ratio!r}", place="canary's traffic weight"
            )
        if self.testers_alone and self.weight_ratio:
            raise RouterError("testers are alone only at a weight of 0", place="canary's traffic weight")

    @property
    def open(self) -> bool:
        """Whether anybody is to reach the canary."""
        return self.weight_ratio > 0 or self.testers_alone

    @property
    def slot_b_ratio(self) -> float:
        """The share of slot b, whichever role it has; without slots, the canary's servers are slot b."""
        return round(1 - self.weight_ratio, _DIGITS) if self.stable_slot == "b" else self.weight_ratio

    @property
    def everybody(self) -> bool:
        """Whether all customers are on the canary; then so is what no customer asks for."""
        return self.weight_ratio > 1 - _TOLERANCE_RATIO

    @property
    def salt(self) -> int:
        """The number by which the routers know the rollout."""
        return salt_of(self.rollout)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one instance of a router (one HAProxy, one nginx host) has in force.

    *weight_ratio* is None when the instance could not be read; *error* then says why.
    *process* says which process has it in force, so that a lowered weight can be told from one that was lost in a
    restart; empty when that cannot be told, or when the process has lost what it had.
    *testers* is None when the instance does not tell whether it lets them in.
    *salt* is None when the instance does not tell. At a weight of 0 nobody is chosen by it, and it says whose weight
    was lowered: whoever lowers by hand leaves it as it is.
    *closed* is whether it says that the rollout of *salt* was closed in it, and not merely that it is not open yet.
    *stable_slot* is what the instance has recorded as the stable slot, by which its weight is read; None without slots.
    """

    instance: str
    weight_ratio: float | None
    salt: int | None = None
    testers: bool | None = False
    testers_alone: bool = False
    error: str = ""
    process: str = ""
    closed: bool = False
    stable_slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a router has in force, read back instance by instance."""

    readings: tuple[Reading, ...]

    @property
    def weight_ratio(self) -> float | None:
        """The largest weight of any instance that could be read; None when none could."""
        known = [reading.weight_ratio for reading in self.readings if reading.weight_ratio is not None]
        return max(known, default=None)

    @property
    def detail(self) -> str:
        """One line for messages and logs."""
        return "; ".join(
            f"{reading.instance}: {reading.error or format_ratio(reading.weight_ratio or 0.0)}"
            for reading in self.readings
        )

    def seen_from(self, stable: Slot | None) -> "Observation":
        """The same, where *stable* is the stable slot whatever a router has recorded: by the journal, that is.

        A router that was wiped has slot a recorded; what it calls nobody may then be everybody.
        """
        if stable is None:
            return self
        return Observation(tuple(_turned(reading, stable) for reading in self.readings))

    def agrees(self, split: Split) -> bool:
        """Whether every instance has exactly *split* in force."""
        return all(_agrees(reading, split) for reading in self.readings)


def _turned(reading: Reading, stable: Slot) -> Reading:
    if reading.weight_ratio is None or reading.stable_slot in (None, stable):
        return reading
    return replace(reading, weight_ratio=round(1 - reading.weight_ratio, _DIGITS))


def _agrees(reading: Reading, split: Split) -> bool:
    if reading.weight_ratio is None:
        return False
    if split.stable_slot is not None and reading.stable_slot not in (None, split.stable_slot):
        return False
    if abs(reading.weight_ratio - split.weight_ratio) > _TOLERANCE_RATIO:
        return False
    # At weight 0 nobody is chosen: whose salt is left in the router means nothing.
    if split.weight_ratio == 0:
        return reading.testers_alone == split.testers_alone
    return reading.testers in (None, split.testers) and reading.salt in (None, split.salt)


def written_pair(router: str, kind: Literal["header", "cookie"], text: str) -> tuple[str, str]:
    """Name and value of a tester's header (`Name: value`) or cookie (`name=value`).

    Raises:
        RouterError: the text is not such a pair.
    """
    mark, form = (":", "Name: value") if kind == "header" else ("=", "name=value")
    name, found, value = (part.strip() for part in text.partition(mark))
    if not (name and found and value):
        raise RouterError(f"expected `{form}`, found {text!r}", place=f"router {router}: testers.{kind}")
    return name, value


class Router(Protocol):
    """Divides traffic between stable and canary, without a reload.

    Attributes:
        finest_ratio: the smallest difference between two weights that it can have in force.
    """

    name: str
    finest_ratio: float

    async def set_weight(self, split: Split) -> None:
        """Put *split* into force on every instance, and read it back.

        Lowering is tried on all instances, whatever fails on one of them. May be repeated at will.

        Raises:
            RouterError: an instance does not have the split in force.
        """
        ...

    async def read(self) -> Observation:
        """What is in force now, read from the router; an instance that cannot be read says so."""
        ...

    async def check(self) -> list[Finding]:
        """What would defeat the switch; empty when all is well. Moves no traffic."""
        ...

    async def unhealthy(self) -> Mapping[str, str]:
        """By address, what the router's own checks say against a stable server; empty where it checks none.

        Raises:
            RouterError: the router is unreachable.
        """
        ...

    async def sessions(self, lasting_seconds: float) -> int | None:
        """Requests and connections that are still on the canary's servers; None where the router cannot tell.

        Args:
            lasting_seconds: how long one may last. A router process that is younger may have a predecessor that still
                serves some, and of which it knows nothing.

        Raises:
            RouterError: the router is unreachable.
        """
        ...

    def is_canary(self, user_id: str, split: Split) -> bool:
        """Whether *split* sends this user, who is no tester, to the canary."""
        ...

    def snippet(self) -> Mapping[str, str]:
        """The router's configuration by file name, for `canary generate`."""
        ...


class TellsNothingOfServers:
    """For the driver of a router that is asked for its weight, and says nothing of the servers behind it."""

    async def unhealthy(self) -> Mapping[str, str]:
        """Nothing: the router checks no servers, or keeps to itself what it finds."""
        return {}

    async def sessions(self, lasting_seconds: float) -> int | None:  # noqa: ARG002  # it never tells
        """None: the router does not count what is under way to a server."""
        return None

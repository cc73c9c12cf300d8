"""HAProxy's map file: what it starts from after a restart or a reload.

The file has always the same size, so that it can be overwritten on a full disk too (`files`).

HAProxy reads a key that is missing as 0: a file that is cut off, or empty, means that everybody is on stable. A value
that is no number, or no file at all, keeps HAProxy from starting, so there is always one, with nothing but numbers.

With `router.slots` the weight is the share of slot b, whichever role that has, and a weight that is missing means the
slot that stands under `stable`: when a release is finished, the two change roles and the weight stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from canary.policy.routers.slots import Slot
from canary.routers import files
from canary.routers.base import Split
from canary.routers.bucket import HAPROXY_BUCKETS

# The keys, as the generated configuration looks them up.
WEIGHT = "weight"
SALT = "salt"
TESTERS = "testers"
STABLE = "stable"

# A number of its own: whoever sets the weight to 0 by hand closes the canary, unless testers are meant to be alone.
ALONE = 2

# The longest text there is (an id of 64 characters, ten digits of salt) with room to spare, and less than one block.
_SIZE_BYTES = 320


@dataclass(frozen=True, slots=True)
class Entries:
    """The map's numbers: the weight in hundredths of a percent, the rollout's salt, and whether testers are let in.

    *testers* is 1 when they are let in while the weight is not 0, and 2 when they are let in at a weight of 0 too.
    *stable* is 1 when slot b is the stable one and 0 when slot a is; None without slots.
    """

    weight: int = 0
    salt: int = 0
    testers: int = 0
    stable: int | None = None

    @classmethod
    def of(cls, split: Split, *, slots: bool = False) -> Self:
        """The numbers that put *split* into force."""
        weight = round(split.weight_ratio * HAPROXY_BUCKETS)
        return cls(
            weight=round(split.slot_b_ratio * HAPROXY_BUCKETS) if slots else weight,
            salt=split.salt,
            testers=ALONE if split.testers_alone else int(split.testers and weight > 0),
            stable=int(split.stable_slot == "b") if slots else None,
        )

    @classmethod
    def parse(cls, lines: Mapping[str, str], *, slots: bool = False) -> Self:
        """The numbers in a map's keys and values.

        Raises:
            ValueError: a value is not a number.
        """
        known = {key: int(lines[key]) for key in (WEIGHT, SALT, TESTERS, STABLE) if key in lines}
        stable = int(known.pop(STABLE, 0) == 1)
        if not slots:
            return cls(**known)
        return cls(**{WEIGHT: stable * HAPROXY_BUCKETS, **known}, stable=stable)

    @property
    def canary_weight(self) -> int:
        """The canary's weight, wherever the canary is."""
        return HAPROXY_BUCKETS - self.weight if self.stable else self.weight

    @property
    def closed(self) -> int:
        """The weight at which nobody is on the canary."""
        return HAPROXY_BUCKETS if self.stable else 0

    @property
    def says_closed(self) -> bool:
        """Whether a rollout was closed; while one is opened, testers are let in before its salt is there."""
        return self.salt != 0 and self.canary_weight == 0 and self.testers == 0

    @property
    def stable_slot(self) -> Slot | None:
        """The slot that is recorded as the stable one."""
        return None if self.stable is None else "b" if self.stable else "a"


def render(entries: Entries, rollout: str) -> str:
    """The file's text, always of the same size."""
    whose = "the canary's traffic weight" if entries.stable is None else "slot b's share"
    text = (
        f"# Written by kpi-canary for rollout {rollout}.\n"
        f"# weight: {whose} in hundredths of a percent; salt: chooses the users.\n"
        f"{WEIGHT} {entries.weight}\n{SALT} {entries.salt}\n{TESTERS} {entries.testers}\n"
    )
    if entries.stable is not None:
        text += f"# stable: 0 for slot a, 1 for slot b.\n{STABLE} {entries.stable}\n"
    return text + "#" * (_SIZE_BYTES - len(text) - 1) + "\n"


def read(path: Path, *, slots: bool = False) -> Entries:
    """The numbers in a map file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, or a value is not a number.
    """
    pairs = (line.split(None, 1) for line in files.text_of(path).splitlines() if not line.startswith("#"))
    return Entries.parse({pair[0]: pair[1] for pair in pairs if len(pair) == 2}, slots=slots)

"""How one test's evidence grew: a row for each bucket that brought something new."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exporter.evidence.grid import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Arrays of one length; effects are relative changes, canary against stable.

    For a floor, `estimate`, `lower` and `upper` are the canary's own success ratio.
    """

    time: Floats
    """End of the bucket, seconds since the epoch."""
    estimate: Floats
    lower: Floats
    upper: Floats
    log10_evidence: Floats
    canary_units: Ints
    stable_units: Ints

    @classmethod
    def empty(cls) -> Trajectory:
        """No bucket yet."""
        floats, ints = np.zeros(0), np.zeros(0, dtype=np.int64)
        return cls(floats, floats, floats, floats, floats, ints, ints)

    def __len__(self) -> int:
        return len(self.time)

    def then(self, later: Trajectory) -> Trajectory:
        """This trajectory followed by a later one."""
        return Trajectory(
            np.concatenate([self.time, later.time]),
            np.concatenate([self.estimate, later.estimate]),
            np.concatenate([self.lower, later.lower]),
            np.concatenate([self.upper, later.upper]),
            np.concatenate([self.log10_evidence, later.log10_evidence]),
            np.concatenate([self.canary_units, later.canary_units]),
            np.concatenate([self.stable_units, later.stable_units]),
        )

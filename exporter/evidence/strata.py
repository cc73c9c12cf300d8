"""Strata of consecutive units: small groups of both sides that are compared with each other only."""

from __future__ import annotations

import numpy as np

from exporter.evidence.grid import Bools, Floats, Ints


def stratum_ends(times: Floats, canary: Bools, held: tuple[int, int], minimum: tuple[int, int]) -> Ints:
    """Positions after the last unit of each stratum that closes, units being in order of time.

    A stratum closes as soon as it holds `minimum` (canary, stable) units, `held` of which are
    already in the first one. Units of one instant stay together: their order is not known, and it
    must not be chosen by outcome.
    """
    positions = [np.flatnonzero(canary).tolist(), np.flatnonzero(~canary).tolist()]
    canary_before = np.concatenate([[0], np.cumsum(canary)]).tolist()
    after_instant = np.searchsorted(times, times, side="right").tolist()
    ends: list[int] = []
    used = [-held[0], -held[1]]
    while True:
        needed = [used[0] + minimum[0], used[1] + minimum[1]]
        if needed[0] > len(positions[0]) or needed[1] > len(positions[1]):
            return np.asarray(ends, dtype=np.int64)
        # A side whose minimum is already held needs no unit of its own to close.
        last = max((positions[side][needed[side] - 1] for side in (0, 1) if needed[side] > 0), default=-1)
        if last < 0:
            return np.asarray(ends, dtype=np.int64)
        end = after_instant[last]
        ends.append(end)
        used = [canary_before[end], end - canary_before[end]]

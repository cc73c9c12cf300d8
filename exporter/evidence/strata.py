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
    of_canary, of_stable = np.flatnonzero(canary).tolist(), np.flatnonzero(~canary).tolist()
    canary_before = np.concatenate([[0], np.cumsum(canary)]).tolist()
    after_instant = np.searchsorted(times, times, side="right").tolist()
    ends: list[int] = []
    canary_needed, stable_needed = minimum[0] - held[0], minimum[1] - held[1]
    while canary_needed <= len(of_canary) and stable_needed <= len(of_stable):
        # A side whose minimum is already held needs no unit of its own to close.
        canary_last = of_canary[canary_needed - 1] if canary_needed > 0 else -1
        stable_last = of_stable[stable_needed - 1] if stable_needed > 0 else -1
        last = max(stable_last, canary_last)
        if last < 0:
            break
        end = after_instant[last]
        ends.append(end)
        canary_needed = canary_before[end] + minimum[0]
        stable_needed = end - canary_before[end] + minimum[1]
    return np.asarray(ends, dtype=np.int64)

"""Strata of consecutive units."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from exporter.evidence.timeline import stratum_ends

UNITS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=120)


@given(UNITS, st.integers(1, 4), st.integers(1, 12))
def test_every_stratum_holds_its_minimum_and_no_instant_is_torn(
    units: list[tuple[int, bool]], least_canary: int, least_stable: int
) -> None:
    """Each closed stratum has enough of both sides, and units of one instant are in one stratum."""
    units = sorted(units, key=lambda unit: unit[0])
    times = np.asarray([time for time, _ in units], dtype=np.float64)
    canary = np.asarray([side for _, side in units], dtype=np.bool_)

    ends = stratum_ends(times, canary, (0, 0), (least_canary, least_stable))

    for start, end in itertools.pairwise([0, *ends]):
        assert canary[start:end].sum() >= least_canary
        assert (~canary[start:end]).sum() >= least_stable
        assert end == len(times) or times[end] > times[end - 1]


@given(UNITS, st.integers(0, 120))
def test_units_held_over_count_as_if_they_came_now(units: list[tuple[int, bool]], cut: int) -> None:
    """Closing in two goes, the open stratum's counts held between them, closes the same strata as in one."""
    units = sorted(units, key=lambda unit: unit[0])
    times = np.asarray([time for time, _ in units], dtype=np.float64)
    canary = np.asarray([side for _, side in units], dtype=np.bool_)
    cut = int(np.searchsorted(times, times[min(cut, len(times) - 1)])) if len(times) else 0
    whole = stratum_ends(times, canary, (0, 0), (2, 5)).tolist()

    first = stratum_ends(times[:cut], canary[:cut], (0, 0), (2, 5)).tolist()
    open_from = first[-1] if first else 0
    held = (int(canary[open_from:cut].sum()), int((~canary[open_from:cut]).sum()))
    second = stratum_ends(times[cut:], canary[cut:], held, (2, 5))

    assert first + (second + cut).tolist() == whole

"""What chance explains of rows that do not fit together."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from exporter.source.consistency.faults import chance

_ROWS = st.integers(20, 50_000)


@given(_ROWS, _ROWS, st.floats(0, 1), st.floats(0, 1))
@example(50_000, 50_000, 0.5, 0.5)
@example(20, 20, 0.0, 0.0)
@example(20, 20, 1.0, 1.0)
def test_the_chance_is_fishers_however_many_rows_there_are(
    stable: int, canary: int, stables: float, canarys: float
) -> None:
    """As SciPy has it, also where the coefficients have thousands of digits; it never takes long."""
    such, others = int(canary * canarys), int(stable * stables)
    expected = hypergeom.sf(such - 1, stable + canary, such + others, canary)
    counts = {"v1": (others, stable), "v2": (such, canary)}
    assert chance("v2", counts) == pytest.approx(expected, rel=1e-6, abs=1e-300)

"""Durations, percentages and sizes as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.units import (
    format_change,
    format_duration,
    format_measured_ratio,
    format_ratio,
    parse_duration,
    parse_ratio,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172800), ("1w", 604800), ("1.5h", 5400)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """A duration is a number with a unit, or several in a row."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m5", "5 m", "-5m", "5min", "1e3s", "5m!"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    """A number without a unit, a sign or a word is not a duration."""
    with pytest.raises(ValueError, match="expected a duration such as 30s, 5m or 1h30m"):
        parse_duration(text)


@given(milliseconds=st.integers(0, 10**12))
def test_a_formatted_duration_reads_back_exactly(milliseconds: int) -> None:
    """Writing and reading a duration loses nothing down to the millisecond."""
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@pytest.mark.parametrize(("text", "ratio"), [("5%", 0.05), ("0.05", 0.05), ("100%", 1), ("0%", 0), ("33.3 %", 0.333)])
def test_percentages_become_ratios(text: str, ratio: float) -> None:
    """A share is a percentage or a number up to one."""
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize("text", ["101%", "5", "-1%", "five", "", "%", "nan", "1e-2"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """Shares beyond 0 % to 100 % and other writings are refused with an example."""
    with pytest.raises(ValueError, match="expected a percentage"):
        parse_ratio(text)


@given(basis_points=st.integers(0, 10_000))
def test_a_formatted_share_reads_back_exactly(basis_points: int) -> None:
    """Writing and reading a share loses nothing down to a hundredth of a percent."""
    assert parse_ratio(format_ratio(basis_points / 10_000)) == basis_points / 10_000


@pytest.mark.parametrize(("text", "size"), [("1MiB", 2**20), ("64KB", 64_000), ("10", 10), ("1.5 KiB", 1536)])
def test_sizes_know_both_thousands(text: str, size: int) -> None:
    """KB is 1000 bytes, KiB is 1024."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1TB", "-1KB", "3 elephants"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Unknown units are refused with an example."""
    with pytest.raises(ValueError, match="expected a size such as 1MiB"):
        parse_size(text)


@given(ratio=st.floats(0, 1))
def test_something_is_never_shown_as_nothing_nor_nearly_all_as_all(ratio: float) -> None:
    """A measured share reads as 0 % or 100 % only when it is that, and else is off by less than a hundredth."""
    shown = float(format_measured_ratio(ratio).removesuffix("%"))

    assert abs(shown - 100 * ratio) < 0.01
    if 1e-9 < ratio < 1 - 1e-9:
        assert 0 < shown < 100


@pytest.mark.parametrize(
    ("change", "text"),
    [(0.005, "+0.5%"), (-0.1234, "-12.3%"), (None, "unknown"), (math.nan, "unknown"), (math.inf, "unbounded")],
)
def test_a_change_has_a_sign(change: float | None, text: str) -> None:
    """A relative change shows its direction; what is not known or has no bound says so."""
    assert format_change(change) == text

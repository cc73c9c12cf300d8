"""Moments as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.timing.times import from_text, to_text

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00:00Z", "2026-01-31 12:00:00", "2026-01-31T12:00:00.000", "2026-01-31 17:00:00+05:00"],
)
def test_moments_are_read_in_every_iso_form(text: str) -> None:
    """With `T` or a space, with or without fraction and offset; none means UTC."""
    assert from_text(text) == NOON


def test_words_are_no_moments() -> None:
    """What is not ISO 8601 is refused."""
    with pytest.raises(ValueError, match="isoformat"):
        from_text("yesterday")


_MOMENTS = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001  # hypothesis wants naive bounds
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001  # as above
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5)), timezone(timedelta(hours=-9, minutes=-30))]),
)


@given(moment=_MOMENTS)
def test_a_written_moment_reads_back(moment: datetime) -> None:
    """Writing and reading a moment keeps it to the microsecond, in UTC."""
    assert from_text(to_text(moment)) == moment
    assert to_text(moment).endswith("Z")


@given(first=_MOMENTS, second=_MOMENTS)
def test_written_moments_sort_as_text(first: datetime, second: datetime) -> None:
    """The text order is the time order, which the journal's queries rely on."""
    assert (to_text(first) < to_text(second)) == (first < second)

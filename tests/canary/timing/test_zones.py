"""Moments in sentences, told in the shop's own zone."""

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy import load_policy
from canary.timing.zones import UnclearMomentError, in_zone, settled, typed, zone_name
from tests.support.documents.pages import DOCS, blocks_of

MOMENTS = st.integers(1_440, 68_000_000).map(lambda minute: datetime.fromtimestamp(60 * minute, UTC))
ZONES = st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Asia/Karachi", "Pacific/Kiritimati"])


def test_a_moment_is_told_in_the_shops_zone_with_utc_next_to_it() -> None:
    """Summer and winter, with seconds and without, on another day, in a zone that has no name."""
    assert in_zone("until 2026-03-01 12:03:00 UTC, in 3m", "Europe/Berlin") == (
        "until 2026-03-01 13:03:00 CET (12:03:00 UTC), in 3m"
    )
    assert in_zone("2026-07-01 12:03 UTC", "Europe/Berlin") == "2026-07-01 14:03 CEST (12:03 UTC)"
    assert in_zone("2026-03-01 23:30 UTC.", "Europe/Berlin") == "2026-03-02 00:30 CET (23:30 UTC, 2026-03-01)."
    assert in_zone("2026-03-01 12:00 UTC", "America/Sao_Paulo") == "2026-03-01 09:00 UTC-03 (12:00 UTC)"


def test_what_is_no_moment_stays() -> None:
    """A day that there is not, a time without a day, ISO 8601, and the zone UTC itself."""
    for text in ("2026-02-30 12:00 UTC", "at 12:03:00 UTC", "2026-03-01T12:00:00Z", "9999-12-31 23:59 UTC"):
        assert in_zone(text, "Pacific/Kiritimati") == text
    assert in_zone("2026-03-01 12:00 UTC", "UTC") == "2026-03-01 12:00 UTC"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-12-24 18:00", datetime(2026, 12, 24, 17, tzinfo=UTC)),
        ("2026-07-24T18:00", datetime(2026, 7, 24, 16, tzinfo=UTC)),
        ("2026-12-24", datetime(2026, 12, 23, 23, tzinfo=UTC)),
        ("2026-12-24T18:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24 18:00 UTC", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24T18:00-05:00", datetime(2026, 12, 24, 23, tzinfo=UTC)),
        ("2026-12-24 18:00 Asia/Kathmandu", datetime(2026, 12, 24, 12, 15, tzinfo=UTC)),
        ("2026-10-25T02:30+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
    ],
)
def test_what_is_typed_is_meant_in_the_shops_zone_unless_it_names_another(said: str, meant: datetime) -> None:
    """By the clocks of that day, in winter and summer; an offset or a zone's name says otherwise."""
    assert settled(typed(said), "Europe/Berlin") == meant


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("2026-03-29 02:30", "show 2026-03-29 02:30 never; write 2026-03-29T02:30+01:00 or 2026-03-29T02:30+02:00"),
        ("2026-10-25 02:30", "show 2026-10-25 02:30 twice; write 2026-10-25T02:30+02:00 or 2026-10-25T02:30+01:00"),
        ("2026-12-24 18:00 CEST", "no time zone 'CEST'; write one such as Europe/Berlin"),
    ],
)
def test_a_time_from_which_no_moment_follows_is_refused(said: str, why: str) -> None:
    """One that the clocks skip or show twice, and one in a zone that is none; with what to write instead."""
    with pytest.raises(UnclearMomentError, match=re.escape(why)):
        settled(typed(said), "Europe/Berlin")


@given(MOMENTS, ZONES)
def test_it_is_the_same_moment_and_telling_it_twice_changes_nothing(moment: datetime, zone: str) -> None:
    """Whatever the zone and the season."""
    told = in_zone(f"at {moment:%Y-%m-%d %H:%M} UTC!", zone)
    local = moment.astimezone(ZoneInfo(zone))

    assert told.startswith(f"at {local:%Y-%m-%d %H:%M} {zone_name(local)} ({moment:%H:%M} UTC")
    assert in_zone(told, zone) == told


def test_the_documented_policy_names_a_zone(tmp_path: Path) -> None:
    """The block of docs/page.md is a policy, and its zone the one that times are told in."""
    [block] = [one for one in blocks_of(DOCS / "page.md") if one.language == "yaml"]
    (tmp_path / "canary.yaml").write_text(block.text)

    receiver = load_policy(tmp_path / "canary.yaml").receiver

    assert in_zone("2026-03-01 12:00 UTC", receiver.timezone) == "2026-03-01 13:00 CET (12:00 UTC)"
    assert receiver.page == "http://127.0.0.1:9878"

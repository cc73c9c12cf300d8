"""What a caller saw: read as it is written, and compared with what is so now."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import PayloadError, RefusedError
from canary.rollout.commands.seen import Seen
from canary.rollout.entries import Held
from canary.rollout.folding import fold
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HELD = Held(rollout="r1", at=NOON, actor="bob", reason="because", cause="CanaryBlind", seq=2)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,40}", fullmatch=True), st.none() | st.integers(0, 10**17))
def test_seen_is_read_as_written(rollout: str, decision: int | None) -> None:
    """What the status shows can be sent back, in quotes too, as HTTP writes it."""
    seen = Seen(rollout, decision)

    assert Seen.read(str(seen)) == Seen.read(f'"{seen}"') == seen


@pytest.mark.parametrize("text", ["", "/3", "r1/", "r1/x", "r1/-1", "r1/1e3", "r1/" + "9" * 30, '""'])
def test_seen_that_is_none(text: str) -> None:
    """Anything else is refused with what is expected."""
    with pytest.raises(PayloadError, match="expected ROLLOUT/DECISION"):
        Seen.read(text)


def test_seen_compares_rollout_and_decision() -> None:
    """Another rollout is always refused; another decision only where it counts."""
    now = fold([started("r1", NOON), HELD])["r1"]
    Seen.of(now).require(now, rollout_only=False)
    Seen("r1", 1).require(now, rollout_only=True)
    Seen("r1").require(now, rollout_only=False)
    Seen.of(None).require(None, rollout_only=False)

    with pytest.raises(RefusedError, match=r"changed since you looked; it is held .* by bob: because"):
        Seen("r1", 1).require(now, rollout_only=False)
    for rollout_only in (True, False):
        with pytest.raises(RefusedError, match="rollout r0 is not the present one, which is r1"):
            Seen("r0", 2).require(now, rollout_only=rollout_only)

"""Reading never fails: a row that is not understood is kept, shown, and changes nothing."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.rollout.entries import Advanced, Drilled, Entry, Held, Started, Unknown
from canary.rollout.folding import fold
from canary.rollout.journal.rows import ROLLOUTS, read
from canary.timing.times import to_text
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def row(kind: str, **data: object) -> Entry:
    """The entry of a row of this kind."""
    columns = {"seq": 7, "rollout": "r1", "kind": kind, "at": to_text(NOON), "actor": "ann", "reason": "because"}
    return read({**columns, "data": json.dumps(data, default=str)}, data, ROLLOUTS.kinds)


def test_what_was_written_is_read() -> None:
    """A row has its class, and what a newer version has added to a known kind is passed over."""
    held = row("held", cause="CanaryBlind", lifts=True, colour="green")

    assert isinstance(held, Held)
    assert (held.cause, held.lifts, held.seq) == ("CanaryBlind", True, 7)
    assert isinstance(row("noted", passed=True), Drilled)


@pytest.mark.parametrize("kind", ["teleported", "", "STARTED"])
def test_a_kind_of_a_newer_version_is_kept(kind: str) -> None:
    """Its name and what it holds are shown, and it may decide, so that nothing is raised past it."""
    found = row(kind, x=1)

    assert isinstance(found, Unknown)
    assert (found.label, found.written_data, bool(found.fault)) == (kind, '{"x": 1}', True)


@given(st.sampled_from(sorted(ROLLOUTS.kinds)), st.dictionaries(st.text(max_size=12), JSON, max_size=5))
def test_no_row_ends_the_process(kind: str, data: dict[str, object]) -> None:
    """Whatever a damaged row holds, it is read as something, and folding goes on."""
    found = read(
        {"seq": 1, "rollout": "r1", "kind": kind, "at": to_text(NOON), "actor": "", "reason": "", "data": ""},
        data,
        ROLLOUTS.kinds,
    )

    assert isinstance(found, Entry)
    assert fold([started("r1", NOON), found])["r1"].weight <= 1


@pytest.mark.parametrize("traffic", [[], [0.05, 7], [float("nan")], [-0.1], ["x"], None])
def test_a_plan_that_is_none_starts_nothing(traffic: object) -> None:
    """A start without phases, or with weights that are none, is not understood."""
    found = row("started", stable="v1", canary="v2", traffic=traffic, durations_seconds=[60, 60])

    assert isinstance(found, Unknown)
    assert not isinstance(found, Started | Advanced)

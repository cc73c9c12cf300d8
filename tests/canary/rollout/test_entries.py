"""The journal's lines: each kind is written with its own fields only, and read back as it was."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from canary.rollout.entries import (
    Adopted,
    Advanced,
    Elapsed,
    Entry,
    Held,
    Notified,
    Recorded,
    RollbackDecided,
    Started,
    StepDone,
    Unknown,
    adapter,
)
from canary.rollout.journal.rows import KINDS, read
from canary.rollout.kinds import Kind, Step
from canary.rollout.plan.planentries import Amended, Approved
from canary.timing.times import to_text
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
WHO: dict[str, Any] = {"rollout": "r1", "at": NOON, "actor": "bob"}

_SECONDS = st.floats(0, 1e9)
_RATIOS = st.floats(0, 1)
_ENTRIES = st.one_of(
    st.builds(lambda phase: Advanced(**WHO, phase=phase), st.integers(0, 9)),
    st.builds(
        lambda lifts, weight, ends: Held(**WHO, cause="CanaryBlind", lifts=lifts, weight=weight, rollback_at=ends),
        st.booleans(),
        st.none() | _RATIOS,
        st.none() | st.just(NOON),
    ),
    st.builds(lambda step, uptime: StepDone(**WHO, step=step, boot="b", uptime_seconds=uptime), *(
        st.sampled_from(Step), _SECONDS
    )),
    st.builds(lambda seconds: Elapsed(**WHO, phase=0, seconds=seconds), _SECONDS),
    st.builds(lambda targets, owed: Notified(**WHO, entry=3, targets=targets, owed=owed), *(
        st.tuples(st.text()), st.none() | st.tuples(st.text())
    )),
    st.builds(lambda key, request: Recorded(**WHO, key=key, request=request), st.text(), st.text()),
    st.builds(
        lambda text, target: Approved(**WHO, approver=text, target=target), st.text(min_size=1), st.integers(0, 9)
    ),
    st.builds(
        lambda ratio, seconds, text: Amended(
            **WHO, phase=0, traffic=(ratio,), durations_seconds=(seconds,), digest="d", policy={"kpis": {text: ratio}}
        ),
        _RATIOS, _SECONDS, st.text(),
    ),
    st.builds(
        lambda plan, weight: Adopted(
            **WHO, stable="v1", canary="v2", traffic=tuple(ratio for ratio, _ in plan),
            durations_seconds=tuple(seconds for _, seconds in plan), weight=weight, salts=(1, 2),
        ),
        st.lists(st.tuples(_RATIOS, _SECONDS), min_size=1, max_size=5),
        _RATIOS,
    ),
)  # fmt: skip


@given(_ENTRIES)
def test_an_entry_is_read_back_as_it_was_written(entry: Entry) -> None:
    """Through the row's columns and its JSON text, nothing is lost or changed."""
    data = json.loads(json.dumps(entry.data()))
    row = {"rollout": entry.rollout, "kind": entry.label, "at": to_text(entry.at), "actor": entry.actor, "seq": 4}

    found = read({**row, "reason": "", "data": ""}, data, KINDS)

    assert found == type(entry)(**{**vars(entry), "seq": 4})


@given(_ENTRIES)
def test_the_text_has_what_the_columns_have_not(entry: Entry) -> None:
    """Common columns are not said twice, and what is empty is left out."""
    data = entry.data()

    assert not data.keys() & {"rollout", "at", "actor", "reason", "seq", "kind"}
    assert "request" not in data or data["request"]


def test_decisions_are_told_from_what_was_done_about_them() -> None:
    """The number of the last decision is what callers have seen: what decides nothing must not change it."""
    deciding = {kind for kind, entry in KINDS.items() if entry.decides}

    assert deciding >= {"started", "adopted", "advanced", "held", "resumed", "promoted", "rollback", "rolled_back"}
    assert not deciding & {"step_done", "notified", "noted", "drilled", "elapsed"}


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        (Started, {"traffic": [7]}),
        (Started, {"traffic": [0.5, 1]}),
        (Started, {"traffic": [], "durations_seconds": []}),
        (Started, {"durations_seconds": ["NaN"]}),
        (Held, {"weight": -0.1}),
        (Elapsed, {"seconds": "Infinity"}),
        (RollbackDecided, {"at": "2026-01-31T12:00:00"}),
    ],
)
def test_damage_gets_no_further_than_its_row(kind: type[Entry], damage: dict[str, object]) -> None:
    """What would break the arithmetic of whoever shows the rollout is no entry."""
    plan = {"stable": "v1", "canary": "v2", "traffic": [0.5], "durations_seconds": [60]}
    sound = {**WHO, **plan, "weight": 0.5, "seconds": 1, "phase": 0, "cause": "x"}
    adapter(kind).validate_python(sound)

    with pytest.raises(ValidationError):
        adapter(kind).validate_python({**sound, **damage})


def test_a_row_that_is_not_understood_is_called_as_it_calls_itself() -> None:
    """A newer version's kind is shown by its own name, not as `unknown`."""
    assert Unknown(**WHO, written_kind="frozen").label == "frozen"
    assert started("r1", NOON).label == Kind.STARTED.value

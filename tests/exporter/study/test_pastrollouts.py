"""Past rollouts, as a person writes them into a CSV file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary.errors import InputError
from exporter.study.pastrollouts import PastPhase, PastRollout, read_rollouts

HEADER = "rollout,stable,canary,traffic,started_at,ended_at\n"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@st.composite
def past(draw: st.DrawFn) -> PastRollout:
    """A rollout of some phases one after the other, some with nobody on the canary between them."""
    lengths = draw(st.lists(st.tuples(st.integers(1, 90), st.integers(0, 30), st.integers(1, 100)), min_size=1))
    began, phases = START, []
    for minutes, pause, percent in lengths:
        ended = began + timedelta(minutes=minutes)
        phases.append(PastPhase(percent / 100, began, ended))
        began = ended + timedelta(minutes=pause)
    return PastRollout("one", "v1", "v2", tuple(phases))


@given(rollout=past(), luck=st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_is_written_down_is_read(rollout: PastRollout, luck: object, tmp_path: Path) -> None:
    """Every phase comes back, in the order of time, whatever the order of the rows; traffic outside them is none."""
    rows = [
        f"one,v1,v2,{phase.traffic:.0%},{phase.started_at.isoformat()},{phase.ended_at.isoformat()}\n"
        for phase in rollout.phases
    ]
    luck.shuffle(rows)  # type: ignore[attr-defined]  # a random.Random
    file = tmp_path / "rollouts.csv"
    file.write_text(HEADER + "".join(rows))

    (found,) = read_rollouts(file)

    assert found == rollout
    judged = found.as_rollout()
    on_canary = sum(phase.traffic for phase in rollout.phases)
    assert sum(weight.ratio for weight in judged.weights) == pytest.approx(on_canary)
    assert [weight.since for weight in judged.weights] == sorted({weight.since for weight in judged.weights})


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A file that is not there or no text is named, and why it cannot be read."""
    (tmp_path / "image.csv").write_bytes(b"\xff\xfe\xff")

    for name in ("nowhere.csv", "image.csv"):
        with pytest.raises(InputError, match=rf"{name}: expected a CSV file with rollouts, found none that"):
            read_rollouts(tmp_path / name)


def test_between_phases_that_do_not_touch_nobody_is_on_the_canary(tmp_path: Path) -> None:
    """A gap between two phases is a stretch of weight 0."""
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(
        HEADER
        + "one,v1,v2,0.25,2026-03-01T13:00:00Z,2026-03-01T13:10:00Z\n"
        + "one,v1,v2,5%,2026-03-01T12:00:00+00:00,2026-03-01 12:30:00\n"
    )

    (found,) = read_rollouts(rollouts)

    weights = [(weight.since.strftime("%H:%M"), weight.ratio) for weight in found.as_rollout().weights]
    assert weights == [("12:00", 0.05), ("12:30", 0.0), ("13:00", 0.25)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rollout,stable\n", "rollouts.csv:1: expected a header with the columns rollout,stable,canary"),
        (HEADER, "expected at least one row"),
        (HEADER + "one,v1,v2,5%,soon,2026-03-01T12:30:00Z\n", "rollouts.csv:2: started_at: expected an ISO 8601 time"),
        (HEADER + "one,v1,v2,120%,2026-03-01T12:00:00Z,2026-03-01T12:30:00Z\n", "rollouts.csv:2: traffic: expected"),
        (HEADER + "one,,v2,5%,2026-03-01T12:00:00Z,2026-03-01T12:30:00Z\n", "rollouts.csv:2: stable: expected a value"),
        (HEADER + "one,v1,v2,5%,2026-03-01T12:30:00Z,2026-03-01T12:00:00Z\n", "rollouts.csv:2: ended_at: expected"),
        (
            HEADER
            + "one,v1,v2,5%,2026-03-01T12:00:00Z,2026-03-01T12:30:00Z\n"
            + "one,v1,v2,9%,2026-03-01T12:10:00Z,2026-03-01T12:40:00Z\n",
            "rollout one: expected phases one after the other",
        ),
        (
            HEADER
            + "one,v1,v2,5%,2026-03-01T12:00:00Z,2026-03-01T12:30:00Z\n"
            + "one,v1,v3,9%,2026-03-01T12:30:00Z,2026-03-01T12:40:00Z\n",
            "rollout one: expected one stable and one canary version",
        ),
    ],
)
def test_faults_of_the_file_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    """A faulty CSV file is refused with the line, what was expected and what was found."""
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(text)

    with pytest.raises(InputError) as caught:
        read_rollouts(rollouts)

    assert message in str(caught.value)

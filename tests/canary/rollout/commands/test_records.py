"""What has been done is recorded about the decision that it was done for, and about no other."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from canary.errors import RefusedError
from canary.rollout.commands.records import (
    CompleteRollback,
    CompleteStep,
    EndDrill,
    MarkElapsed,
    Memory,
    Notify,
    Record,
)
from canary.rollout.entries import Drilled, Elapsed, Entry, Failed, Notified, RollbackDecided
from canary.rollout.folding import fold
from canary.rollout.kinds import Step
from canary.rollout.state import Rollout
from tests.support.receiving.entries import started

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ROLLBACK = RollbackDecided(rollout="r1", at=NOON, actor="bob", reason="because", cause="CanaryX", seq=2)
GIVEN_UP = Failed(rollout="r1", at=NOON, actor="ann", reason="by hand", seq=9)


def after(*entries: Entry) -> Rollout:
    """Rollout r1, which began at noon and went on as told."""
    return fold([started("r1", NOON), *entries])["r1"]


def refused(command: Memory, rollout: Rollout | None) -> bool:
    """Whether a state does not take a record."""
    try:
        command.entry(rollout, NOON)
    except RefusedError:
        return True
    return False


def test_a_step_of_a_rollback_that_was_given_up_is_not_done() -> None:
    """It took a minute, and meanwhile somebody decided otherwise: it completes nothing."""
    rolling, given_up = after(ROLLBACK), after(ROLLBACK, GIVEN_UP)
    step = CompleteStep(rollout="r1", step=Step.PROCESS, decision=2)
    complete = CompleteRollback(rollout="r1", decision=2)

    assert not refused(step, rolling)
    assert refused(step, given_up)
    assert not refused(complete, rolling)
    assert refused(complete, given_up)
    assert refused(complete, after())


@pytest.mark.parametrize("step", [Step.NOTIFY, Step.LOG])
def test_people_hear_of_a_rollback_that_was_given_up_meanwhile(step: Step) -> None:
    """The message and the line of the log are about the decision, and are recorded all the same."""
    assert not refused(CompleteStep(rollout="r1", step=step, decision=2), after(ROLLBACK, GIVEN_UP))


@pytest.mark.parametrize("step", Step)
def test_a_step_is_done_once(step: Step) -> None:
    """Of two workers that did the same, one records it."""
    done = CompleteStep(rollout="r1", step=step, decision=2)

    assert refused(done, fold([done.entry(after(ROLLBACK), NOON)], {"r1": after(ROLLBACK)})["r1"])


def test_a_record_is_made_once() -> None:
    """The same key is recorded once per rollout."""
    record = Record(rollout="r1", key="gate:0")

    assert refused(record, after(record.entry(after(), NOON)))
    assert not refused(replace(record, key="gate:1"), after(record.entry(after(), NOON)))


def test_a_message_may_be_recorded_in_every_state() -> None:
    """Who was told, and who was not, is true whatever has happened since."""
    notify = Notify(rollout="r1", about=2, targets=("chat",), owed=("mail",), expired=True)

    for rollout in (after(), after(ROLLBACK), after(ROLLBACK, GIVEN_UP)):
        entry = notify.entry(rollout, NOON)
        assert isinstance(entry, Notified)
        assert (entry.entry, entry.targets, entry.owed, entry.expired) == (2, ("chat",), ("mail",), True)


def test_how_long_a_phase_lasted_counts_while_it_lasts() -> None:
    """Of a phase that is over, or a rollout that is, nobody goes on from there."""
    mark = MarkElapsed(rollout="r1", phase=0, seconds=7.5)
    entry = mark.entry(after(), NOON)

    assert isinstance(entry, Elapsed)
    assert entry.seconds == 7.5
    assert refused(replace(mark, phase=1), after())
    assert refused(mark, after(ROLLBACK))


def test_a_drill_is_about_no_rollout() -> None:
    """It is recorded although there has never been one; everything else needs the rollout that it names."""
    entry = EndDrill(rollout="drill-1", passed=True).entry(None, NOON)

    assert isinstance(entry, Drilled)
    assert (entry.rollout, entry.passed) == ("drill-1", True)
    assert refused(Record(rollout="r1", key="k"), None)

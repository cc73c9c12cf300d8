"""Joining and judging run in a thread, no more often than they can be afforded, and end when a rollout is over."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from canary.logs import Log
from canary.rollout.folding import fold
from canary.rollout.state import Moment, Rollout, State
from exporter.faults import UNEXPECTED, Faults
from exporter.judge.experiments import Arm, JudgedExperiments
from exporter.judge.schedule import ScheduledJudge, watched
from exporter.judge.shop.calibration import Calibration, KpiCalibration, calibration_file, digest_of, write
from exporter.ledger.rows import Codes, EventRows
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for
from tests.support.receiving.entries import started
from tests.support.threads import InlineThreads, SlowThreads

POLICY = policy_for("sqlite:///shop.db")
ARM: Any = object()
"""What is known of a treatment; the schedule hands it on as it is."""


def _feed(*, ready: bool = True, fault: Exception | None = None) -> Any:
    """What the judge asks of a feed."""
    return SimpleNamespace(
        stream=SimpleNamespace(event="visits", kind="rows", parents=()),
        rows_wanted=True,
        rows_ready=ready,
        fault=fault,
        refreshed_at=1000.0,
        rows=lambda: EventRows.empty(0),
    )


def _judge(clock: FakeClock, threads: InlineThreads, *feeds: Any) -> ScheduledJudge:
    return ScheduledJudge(
        POLICY, feeds, Codes(), Codes(), JudgedExperiments(POLICY), clock, threads, Faults(Log("test"))
    )


def _rollout(clock: FakeClock) -> Rollout:
    return fold([started("r1", clock.now())])["r1"]


async def _look(judge: ScheduledJudge, clock: FakeClock, rollout: Rollout | None = None) -> None:
    await judge.look(clock.now().timestamp(), rollout, {}, 0)


async def test_a_slow_look_makes_the_next_one_wait(clock: FakeClock) -> None:
    """A look of ten seconds is followed by thirty without one, so that counting keeps three quarters of the time."""
    threads = SlowThreads(clock, 10)
    judge = _judge(clock, threads, _feed())
    began = clock.monotonic()
    while clock.monotonic() - began < 200:
        await _look(judge, clock)
        clock.advance(1)

    assert threads.count * 10 / 200 == pytest.approx(0.25, abs=0.06)


async def test_a_quick_look_is_made_each_time(clock: FakeClock) -> None:
    """In a shop of usual size every refresh is judged."""
    threads = InlineThreads()
    judge = _judge(clock, threads, _feed())
    for _ in range(5):
        clock.advance(1)
        await _look(judge, clock)

    assert threads.count == 5


@pytest.mark.parametrize(
    ("feeds", "ready"),
    [
        ([], False),
        ([_feed()], True),
        ([_feed(), _feed(ready=False)], False),
        ([_feed(), _feed(ready=False, fault=ValueError())], True),
        ([_feed(fault=ValueError())], False),
    ],
)
async def test_only_whole_rows_are_judged(clock: FakeClock, feeds: list[Any], ready: bool) -> None:
    """Half-read rows would be a wrong KPI; an event that cannot be read holds up nobody else's."""
    threads = InlineThreads()
    judge = _judge(clock, threads, *feeds)

    await _look(judge, clock)

    assert judge.ready is ready
    assert threads.count == int(ready)


async def test_what_was_calibrated_counts_from_the_next_rollout_on(clock: FakeClock, tmp_path: Path) -> None:
    """A KPI of which nobody knows the customers may roll back once it is measured; no exporter is restarted for it."""
    events = {name: replace(event, unit=None) for name, event in POLICY.database.events.items()}
    policy = replace(POLICY, base=str(tmp_path), database=replace(POLICY.database, events=events))
    judge = replace(_judge(clock, InlineThreads(), _feed()), policy=policy)
    seen = []
    for number in ("r1", "r2"):
        await _look(judge, clock, replace(_rollout(clock), id=number))
        assert judge._judged is not None
        seen += [kpi.may_fail for kpi in judge._judged.parameters.kpis if kpi.name == "conversion_rate"]
        measured = {name: KpiCalibration("rollback", 0.005, 0, 0.0, 0.004, 1.0) for name in policy.kpis}
        about = policy.service, digest_of(policy), "2026-03-01T12:00:00Z"
        write(Calibration(*about, 7, 1000, 0, 0.0, 0.004, 0, 0, measured), calibration_file(policy))

    assert seen == [False, True]


async def test_a_new_rollout_begins_without_the_old_ones_evidence(clock: FakeClock) -> None:
    """Each rollout has a judge of its own; without one that is watched there is no evidence."""
    judge = _judge(clock, InlineThreads(), _feed())
    first = _rollout(clock)
    await _look(judge, clock, first)
    judged = judge.has_judged(first)
    second = replace(first, id="r2")

    assert judged
    assert not judge.has_judged(second)

    await _look(judge, clock)
    assert judge.evidence is None


async def test_what_is_forgotten_is_unknown(clock: FakeClock) -> None:
    """After a fault neither KPIs nor evidence are kept, and the rollout counts as not judged, so that all is read."""
    judge = _judge(clock, InlineThreads(), _feed())
    rollout = _rollout(clock)
    await _look(judge, clock, rollout)

    judge.forget()

    assert (judge.kpis, judge.evidence, judge.roles, judge.arms) == (None, None, {}, ())
    assert not judge.has_judged(rollout)


class OneExperiment(JudgedExperiments):
    """An experiment that runs, whose judging may break."""

    broken = False

    @property
    def since(self) -> float | None:
        """It has begun."""
        return 0.0

    def look(self, *_: Any) -> tuple[Arm, ...]:
        """What is known of its one treatment."""
        if self.broken:
            raise ZeroDivisionError
        return (ARM,)


async def test_an_experiment_that_cannot_be_judged_blinds_no_rollout(clock: FakeClock) -> None:
    """An error in judging an experiment costs its own evidence; rollout and window are judged all the same."""
    judge = _judge(clock, InlineThreads(), _feed())
    judge.experiments = experiments = OneExperiment(POLICY)
    rollout = _rollout(clock)
    await _look(judge, clock, rollout)
    before = judge.arms

    experiments.broken = True
    clock.advance(60)
    await _look(judge, clock, rollout)

    assert (before, judge.arms) == ((ARM,), ())
    assert judge.has_judged(rollout)
    assert (judge.kpis, judge.broken) == ([], False)
    assert judge.faults.counts == {UNEXPECTED: 1}


@pytest.mark.parametrize(
    ("part", "evidence", "kpis"), [("_judge_rollout", False, True), ("_count_window", True, False)]
)
async def test_each_part_of_a_look_fails_alone(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, part: str, evidence: bool, kpis: bool
) -> None:
    """What cannot be judged is unknown, and is said to be; the other parts go on; when the fault is over it returns."""
    judge = _judge(clock, InlineThreads(), _feed())
    judge.experiments = OneExperiment(POLICY)
    rollout = _rollout(clock)
    await _look(judge, clock, rollout)
    with monkeypatch.context() as patch:
        patch.setattr(judge, part, lambda *_: 1 / 0)
        clock.advance(60)
        await _look(judge, clock, rollout)

    assert (judge.evidence is not None, judge.kpis is not None) == (evidence, kpis)
    assert judge.arms == (ARM,)
    assert judge.broken

    clock.advance(60)
    await _look(judge, clock, rollout)
    assert judge.has_judged(rollout)
    assert (judge.kpis, judge.broken) == ([], False)


def test_a_promoted_version_is_watched_for_a_while(clock: FakeClock) -> None:
    """Floors stay watched after promotion for `rollback.watch`, and not for ever; a rollback ends it at once."""
    running = _rollout(clock)
    ended = clock.now()
    promoted = replace(running, state=State.PROMOTED, ended_at=ended, promoted=Moment(ended))
    finished = replace(promoted, state=State.FINISHED, ended_at=ended + timedelta(hours=1))
    rolled_back = replace(running, state=State.ROLLED_BACK, ended_at=ended)
    last = (ended + timedelta(seconds=POLICY.rollback.watch)).timestamp()

    assert watched(running, POLICY, last + 10**6)
    assert watched(promoted, POLICY, last - 1)
    assert not watched(promoted, POLICY, last)
    assert watched(finished, POLICY, last - 1)
    assert not watched(finished, POLICY, last)
    assert not watched(rolled_back, POLICY, ended.timestamp())

"""Joining and judging run in a thread, no more often than they can be afforded, and end when a rollout is over."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from canary.rollout.folding import fold
from canary.rollout.state import Rollout, State
from exporter.judge.assessor import Assessor, watched
from exporter.judge.experiments import Experiments
from exporter.ledger.table import Codes, Table
from tests.support.clock import FakeClock
from tests.support.entries import started
from tests.support.exporting import policy_for
from tests.support.threads import InlineThreads

T = TypeVar("T")
POLICY = policy_for("sqlite:///shop.db")


class SlowThreads(InlineThreads):
    """Work that takes this many seconds."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    async def run(self, work: Callable[[], T]) -> T:
        """Do it, slowly."""
        self._clock.advance(self._seconds)
        return await super().run(work)


def _feed(*, ready: bool = True, fault: Exception | None = None) -> Any:
    """What the assessor asks of a feed."""
    return SimpleNamespace(
        stream=SimpleNamespace(event="visits", kind="rows", parents=()),
        rows_from=0,
        rows_ready=ready,
        fault=fault,
        refreshed_at=1000.0,
        store=SimpleNamespace(table=lambda: Table.empty(0)),
    )


def _assessor(clock: FakeClock, threads: InlineThreads, *feeds: Any) -> Assessor:
    return Assessor(POLICY, feeds, Codes(), Codes(), Experiments(POLICY), clock, threads)


def _rollout(clock: FakeClock) -> Rollout:
    return fold([started("r1", clock.now())])["r1"]


async def _assess(assessor: Assessor, clock: FakeClock, rollout: Rollout | None = None) -> None:
    await assessor.assess(clock.now().timestamp(), rollout, {}, 0)


async def test_a_slow_look_makes_the_next_one_wait(clock: FakeClock) -> None:
    """A look of ten seconds is followed by thirty without one, so that counting keeps three quarters of the time."""
    threads = SlowThreads(clock, 10)
    assessor = _assessor(clock, threads, _feed())
    began = clock.monotonic()
    while clock.monotonic() - began < 200:
        await _assess(assessor, clock)
        clock.advance(1)

    assert threads.count * 10 / 200 == pytest.approx(0.25, abs=0.06)


async def test_a_quick_look_is_made_each_time(clock: FakeClock) -> None:
    """In a shop of usual size every refresh is judged."""
    threads = InlineThreads()
    assessor = _assessor(clock, threads, _feed())
    for _ in range(5):
        clock.advance(1)
        await _assess(assessor, clock)

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
    assessor = _assessor(clock, threads, *feeds)

    await _assess(assessor, clock)

    assert assessor.ready is ready
    assert threads.count == int(ready)


async def test_a_new_rollout_begins_without_the_old_ones_evidence(clock: FakeClock) -> None:
    """Each rollout has a judge of its own; without one that is watched there is no evidence."""
    assessor = _assessor(clock, InlineThreads(), _feed())
    first = _rollout(clock)
    await _assess(assessor, clock, first)
    judged = assessor.has_judged(first)
    second = replace(first, id="r2")

    assert judged
    assert not assessor.has_judged(second)

    await _assess(assessor, clock)
    assert assessor.evidence is None


async def test_what_is_forgotten_is_unknown(clock: FakeClock) -> None:
    """After a fault neither KPIs nor evidence are kept, and the rollout counts as not judged, so that all is read."""
    assessor = _assessor(clock, InlineThreads(), _feed())
    rollout = _rollout(clock)
    await _assess(assessor, clock, rollout)

    assessor.forget()

    assert (assessor.kpis, assessor.evidence, assessor.roles, assessor.arms) == (None, None, {}, ())
    assert not assessor.has_judged(rollout)


def test_a_promoted_version_is_watched_for_a_while(clock: FakeClock) -> None:
    """Floors stay watched after promotion for `rollback.watch`, and not for ever; a rollback ends it at once."""
    running = _rollout(clock)
    ended = clock.now()
    promoted = replace(running, state=State.PROMOTED, ended_at=ended)
    rolled_back = replace(running, state=State.ROLLED_BACK, ended_at=ended)
    last = (ended + timedelta(seconds=POLICY.rollback.watch)).timestamp()

    assert watched(running, POLICY, last + 10**6)
    assert watched(promoted, POLICY, last - 1)
    assert not watched(promoted, POLICY, last)
    assert not watched(rolled_back, POLICY, ended.timestamp())

"""A fixed set of worlds: no promise is broken in them, and they exercise what there is."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from canary.routers.base import Split
from canary.testing.loop import MACHINE
from canary.testing.routers import MemoryRouter
from simulation.checks.checks import Checks
from simulation.life import LIFE
from simulation.plans import PLAN
from simulation.run import Summary, describe, run, run_many, shrink
from simulation.stories.losses import LOSS
from simulation.stories.story import ACTS, FAULTS, Event, draw
from simulation.stories.watchers import WATCH
from simulation.world import simulate

# Each takes about half a second of one core.
_CHUNKS, _WORLDS = 4, 30


@pytest.mark.timeout(900)
@pytest.mark.parametrize("chunk", range(_CHUNKS))
def test_every_promise_is_kept(chunk: int) -> None:
    """Whatever happens to receivers, network, routers, Prometheus, Alertmanager, journal, clocks and people."""
    seeds = range(1 + chunk * _WORLDS, 1 + (chunk + 1) * _WORLDS)
    summary = run_many(seeds)
    assert summary.failed == {}, f"again with `make simulate SEED={min(summary.failed, default=0)}`"


def test_every_kind_of_event_is_drawn() -> None:
    """What is never tried is not known: the fixed set has every fault and every act."""
    drawn = Counter(event.kind for seed in range(1, 1 + _CHUNKS * _WORLDS) for event in draw(seed).events)
    assert set(drawn) == {*FAULTS, *ACTS}
    places = {(event.kind, event.place) for seed in range(2000) for event in draw(seed).events}
    assert places == {(kind, place) for kinds in (FAULTS, ACTS) for kind, where in kinds.items() for place in where}


def test_a_seed_is_a_reproduction() -> None:
    """The same seed tells the same story in every process, whatever Python's hashes are."""
    code = "from simulation.run import run; print(hash(0), *run(7).told, sep='\\n')"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_failing_story_is_told_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The events that a broken promise does not need are left out, and what is left still breaks it."""

    def dislikes(checks: Checks, router: MemoryRouter, before: Split) -> None:
        if MACHINE.get() is None and router.split.weight_ratio > before.weight_ratio:
            checks.fail("nobody touches a router", router.name)

    monkeypatch.setattr(Checks, "routed", dislikes)
    events = (
        Event(10.0, "slow", "journal", 5.0),
        Event(20.0, "chat refuses", "chat#1", 3.0),
        Event(30.0, "router raised by hand", "edge1", 1.0, 0.9),
        Event(40.0, "pause", "a", 2.0),
    )
    outcome = simulate(replace(draw(7), events=events))
    assert outcome.broken == ["nobody touches a router: edge1"]

    shortest = shrink(outcome)
    assert [event.kind for event in shortest.story.events] == ["router raised by hand"]
    assert shortest.broken == outcome.broken
    assert any("router raised by hand edge1" in line for line in describe(shortest.story))


def test_a_summary_says_what_was_never_drawn() -> None:
    """An empty run has drawn nothing."""
    summary = Summary()
    assert set(summary.never()) == {*FAULTS, *ACTS, LIFE, PLAN, WATCH, LOSS}
    summary.add(run(3))
    assert any(line.startswith("1 worlds") for line in summary.lines())
    assert any("NEVER DRAWN" in line for line in summary.lines())

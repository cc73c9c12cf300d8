"""Worlds in which people freeze, note, silence, wait and start again: every promise is kept, and can be broken."""

from collections import Counter
from dataclasses import replace

import pytest

from canary.policy.release import Rollback
from canary.prometheus.alert import Alert
from canary.prometheus.silences import Silence
from simulation.life import LIFE, PLACES, with_life
from simulation.stories.story import Event, Story, draw
from simulation.world import Outcome, simulate

_WORLDS = 6


def quiet(*places: str) -> Story:
    """A world without faults, whose versions all answer with errors, and with these people in it."""
    story = draw(2)
    return replace(
        story,
        policy=replace(story.policy, rollback=Rollback(converge=30)),
        versions=tuple((version, "errors") for version, _ in story.versions),
        events=tuple(Event(2.0 + number, LIFE, place, 0, 1.0) for number, place in enumerate(places)),
    )


def test_every_promise_is_kept_in_a_releases_whole_life() -> None:
    """Under the faults of a seed; what people do is done in many states of a rollout."""
    broken: dict[int, list[str]] = {}
    met: Counter[str] = Counter()
    for seed in range(1, 1 + _WORLDS):
        outcome = simulate(with_life(draw(seed)))
        met.update(event for event, _ in outcome.met.elements())
        if outcome.broken:
            broken[seed] = outcome.broken

    assert broken == {}
    assert {"entry frozen", "entry freeze_lifted", "entry note"} <= met.keys()


def test_everything_that_they_do_is_drawn() -> None:
    """What is never tried is not known; and the faults of a seed are what they were."""
    stories = [(draw(seed), with_life(draw(seed))) for seed in range(100)]

    assert {event.place for _, story in stories for event in story.events if event.kind == LIFE} == set(PLACES)
    for plain, fuller in stories:
        assert [event for event in fuller.events if event.kind != LIFE] == list(plain.events)


@pytest.mark.parametrize(
    ("place", "obeys", "promise"),
    [
        ("silence rollback", False, "a silence that names the action is obeyed"),
        ("silence people", True, "a silence for people keeps no rollback away"),
    ],
)
def test_silences_that_are_taken_wrongly_are_found(
    monkeypatch: pytest.MonkeyPatch, place: str, promise: str, *, obeys: bool
) -> None:
    """A receiver that obeys none, and one that obeys all, each break a promise; the product breaks none."""
    assert simulate(quiet(place)).broken == []

    def forbids(silence: Silence, alert: Alert) -> bool:
        return obeys and silence.covers(alert.labels)

    monkeypatch.setattr(Silence, "forbids", forbids)
    found: Outcome = simulate(quiet(place))
    assert [what.partition(":")[0] for what in found.broken] == [promise]

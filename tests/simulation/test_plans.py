"""Worlds in which people change plans while rollouts run: every promise is kept there too."""

from collections import Counter

from simulation.plans import PLACES, PLAN, with_plans
from simulation.stories.story import draw
from simulation.world import simulate

_WORLDS = 8


def test_every_promise_is_kept_while_plans_change() -> None:
    """The file is edited and read again, amended, jumped in, agreed to, scheduled, under the faults of a seed."""
    broken: dict[int, list[str]] = {}
    raised: Counter[str] = Counter()
    for seed in range(1, 1 + _WORLDS):
        outcome = simulate(with_plans(draw(seed)))
        raised.update(event for event, _ in outcome.met.elements())
        if outcome.broken:
            broken[seed] = outcome.broken
    assert broken == {}
    assert {"entry policy", "entry approved", "entry advanced", "entry scheduled"} <= raised.keys()


def test_every_change_of_a_plan_is_drawn() -> None:
    """What is never tried is not known; and the ordinary story of a seed is what it was."""
    stories = [(draw(seed), with_plans(draw(seed))) for seed in range(100)]

    drawn = {event.place for _, story in stories for event in story.events if event.kind == PLAN}
    assert drawn == set(PLACES)
    for plain, changed in stories:
        assert [event for event in changed.events if event.kind != PLAN] == list(plain.events)

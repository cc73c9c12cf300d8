"""Worlds with testers, a silenced heartbeat and an exporter with an old policy: promises are kept, and can break."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest

from alertmanager.receiver.act import reconciler, routercontroller, splits
from alertmanager.receiver.decide.policywatch import PolicyWatch
from alertmanager.receiver.decide.promotion.promoter import Promoter
from alertmanager.receiver.decide.watchdog import Watchdog
from canary.policy.release import Rollback
from canary.rollout.state import Rollout
from canary.routers.base import Split
from canary.testing.prometheus import MemoryPrometheus
from simulation.run import story_of
from simulation.stories.story import Event, Story, draw
from simulation.stories.watchers import PLACES, WATCH, with_watchers
from simulation.surroundings import monitoring
from simulation.watching import Watching
from simulation.world import simulate

Undo = Callable[[pytest.MonkeyPatch], None]

TESTED = (Event(25.0, WATCH, "tested"), Event(35.0, WATCH, "tested"))


def quiet(*events: Event, wrong: str = "") -> Story:
    """A world without faults, with such a first phase, and with these events."""
    story = with_watchers(draw(1))
    return replace(
        story,
        policy=replace(story.policy, rollback=Rollback(converge=30)),
        versions=tuple((version, wrong) for version, _ in story.versions),
        events=events,
    )


def test_everything_that_they_do_is_drawn() -> None:
    """What is never tried is not known; they are in the random worlds."""
    drawn = {event.place for seed in range(50) for event in story_of(seed).events if event.kind == WATCH}

    assert drawn == set(PLACES)


def test_without_faults_every_promise_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a phase of 0 % is really looked at; under the faults of a seed they are lived by `test_simulation`."""
    looks: list[Watching] = []
    look = Watching.look

    def counted(watching: Watching) -> None:
        look(watching)
        looks[:] = [watching]

    monkeypatch.setattr(Watching, "look", counted)
    events = (Event(5.0, WATCH, "heartbeat", 115.0), Event(36.0, WATCH, "exporter", 60.0))
    # Later than in the others: what testers see is looked at once the routers have had time to follow.
    story = quiet(*events, Event(75.0, WATCH, "tested"))
    assert simulate(story).broken == []

    assert looks[0].tested > 0


def _deaf(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Watchdog, "excuse", lambda _: None)


def _alike(patch: pytest.MonkeyPatch) -> None:
    async def any_policy(_: PolicyWatch) -> None:
        return

    patch.setattr(PolicyWatch, "require_one", any_policy)


def _unruled(patch: pytest.MonkeyPatch) -> None:
    def nothing(_: object) -> Iterable[dict[str, str]]:
        return ()

    patch.setattr(monitoring, "_mismatch", nothing)


def _unasked(patch: pytest.MonkeyPatch) -> None:
    complete = monitoring._complete

    def whatever_the_gate(*, manual: bool) -> Callable[[MemoryPrometheus], Iterable[Mapping[str, str]]]:
        return lambda prometheus: [*complete(manual=manual)(prometheus), *complete(manual=not manual)(prometheus)]

    patch.setattr(monitoring, "_complete", whatever_the_gate)
    patch.setattr(Promoter, "_person_decides", lambda *_: False)


def _closed(patch: pytest.MonkeyPatch) -> None:
    wanted = splits.wanted_split

    def nobody(rollout: Rollout | None) -> Split:
        return replace(wanted(rollout), testers_alone=False)

    for module in (reconciler, routercontroller):
        patch.setattr(module, "wanted_split", nobody)


@pytest.mark.parametrize(
    ("undo", "story", "promise"),
    [
        (
            _deaf,
            quiet(Event(5.0, WATCH, "heartbeat", 115.0)),
            "a heartbeat that is silenced for people is not missing",
        ),
        (
            _alike,
            quiet(*TESTED, Event(33.0, WATCH, "exporter", 60.0), wrong="errors"),
            "nothing begins that would be judged by another policy",
        ),
        (
            _unruled,
            quiet(Event(10.0, WATCH, "exporter", 100.0), *TESTED),
            "nothing goes on while it is judged by another policy",
        ),
        (_unasked, quiet(), "no phase ends by itself that waits for people by its own plan"),
        (_closed, quiet(Event(190.0, WATCH, "tested")), "testers reach a canary at 0 %"),
    ],
    ids=["deaf", "alike", "unruled", "unasked", "closed"],
)
def test_what_is_undone_is_found(monkeypatch: pytest.MonkeyPatch, undo: Undo, story: Story, promise: str) -> None:
    """Each promise is broken by a product, or rules, that lack what keeps it."""
    undo(monkeypatch)

    assert [what.partition(":")[0] for what in simulate(story).broken] == [promise]

"""A rollback that the journal cannot take, and whose receivers die before it does, some with all that they remember.

Drawn by chance, these hardly ever meet: what was lowered must be known from a file next to the state, and where that is
gone too, from the routers themselves.
"""

from dataclasses import replace
from random import Random

from simulation.stories.story import Event, Story

LOSS = "lose disk"
"""A machine dies, and comes back without what it kept: a container without a volume."""

# The first rollout has begun by then, and the routers have it.
_EARLIEST_SECONDS, _LATEST_SECONDS = 20.0, 70.0
# Longer than it takes all receivers to act, to die, and to come back while nothing can be written yet.
_FULL_SECONDS = 45.0
_DECIDED_AFTER_SECONDS = 3.0
# By then each has looked at the routers, which were lowered, or has lowered them itself.
_DIES_AFTER_SECONDS = 15.0


def with_loss(story: Story) -> Story:
    """The story with such a loss, and without what else would have gone wrong until then."""
    if story.policy.slots and story.policy.phases[0].traffic == 0:
        return story  # that it was closed to testers, only a router could tell that does not here
    random = Random(f"loss {story.seed}")
    at = round(random.uniform(_EARLIEST_SECONDS, _LATEST_SECONDS), 3)
    # Routers with slots do not say whose weight was closed.
    death = "kill" if story.policy.slots or random.random() < 0.5 else LOSS
    loss = [
        Event(at, "journal full", "journal", _FULL_SECONDS),
        Event(at + _DECIDED_AFTER_SECONDS, "type", "rollback", 0, round(random.random(), 3)),
        *(
            Event(at + _DIES_AFTER_SECONDS, death, host, round(random.uniform(1, 10), 3))
            for host in ("a", "b")[: story.receivers]
        ),
    ]
    others = [event for event in story.events if event.at > at + _FULL_SECONDS]
    return replace(story, events=tuple(sorted([*others, *loss], key=lambda event: event.at)))

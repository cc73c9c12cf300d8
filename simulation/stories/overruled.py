"""A rollback whose countdown a person cancels, so that its alert fires on, and then a moment without data.

Drawn by chance, a person is hardly ever there within a countdown, and a hold that ends by itself hardly ever follows.
"""

from dataclasses import replace
from random import Random

from simulation.stories.story import Event, Story

# The first rollout's errors have been seen by then, and its countdown is not over.
_CANCELLED_AT = (16.0, 18.0, 20.0, 22.0)
# There is time left for a hold to begin and to end.
_EARLIEST_SECONDS, _LATEST_SECONDS = 30.0, 100.0
# Longer than missing data are waited for.
_BLIND_SECONDS = 60.0
_COUNTDOWN_SECONDS = 8.0


def with_overruling(story: Story) -> Story:
    """The story with such a person, and without what else would have gone wrong meanwhile."""
    random = Random(f"overruled {story.seed}")
    at = round(random.uniform(_EARLIEST_SECONDS, _LATEST_SECONDS), 3)
    overruled = [
        *(Event(moment, "type", "resume", 0, round(random.random(), 3)) for moment in _CANCELLED_AT),
        Event(at, "scrape fails", "exporter", _BLIND_SECONDS),
    ]
    others = [event for event in story.events if event.at > at + _BLIND_SECONDS]
    rollback = replace(story.policy.rollback, dry_run=False, automatic=True, countdown=_COUNTDOWN_SECONDS)
    versions = tuple((version, "errors") for version, _ in story.versions)
    events = tuple(sorted([*others, *overruled], key=lambda event: event.at))
    return replace(story, policy=replace(story.policy, rollback=rollback), versions=versions, events=events)

"""A long outage of both who watch and who remember: no heartbeat arrives, and meanwhile the journal is away.

Drawn by chance, single faults are too short for it: a rollback for want of a heartbeat takes longer than any of them,
and that nobody may be able to know who leads just then is what it must not depend on.
"""

from dataclasses import replace
from random import Random

from simulation.stories.story import STRESS_SECONDS, Event, Story

# The first rollout has begun by then, and is in one of its first phases.
_EARLIEST_SECONDS, _LATEST_SECONDS = 15.0, 40.0
# The watchdog's time-out and what follows it, and what the receivers need to act after that.
_OUTAGE_SECONDS = 150.0
# Between the watchdog's time-out and the rollback that follows it.
_JOURNAL_AFTER_SECONDS = 75.0


def with_outage(story: Story) -> Story:
    """The story with such an outage, and without what else would have happened meanwhile."""
    random = Random(f"outage {story.seed}")
    at = round(random.uniform(_EARLIEST_SECONDS, _LATEST_SECONDS), 3)
    until = min(at + _OUTAGE_SECONDS, STRESS_SECONDS)
    journal_at = at + _JOURNAL_AFTER_SECONDS
    outage = [
        Event(at, "away", "alertmanager", until - at),
        Event(journal_at, "away", "journal", until - journal_at),
    ]
    others = [event for event in story.events if event.at + event.seconds < at]
    return replace(story, events=tuple(sorted([*others, *outage], key=lambda event: event.at)))

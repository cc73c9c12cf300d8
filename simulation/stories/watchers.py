"""Who watches: testers before customers, a heartbeat that somebody silences, an exporter that goes by an old policy.

Each of these is an ordinary day and no fault: a first phase of 0 % that a person ends, a silence on all of the service
for a deployment, an exporter that nobody has reloaded. What is promised of them is looked at in `simulation.watching`.
"""

from dataclasses import replace
from random import Random

from canary.policy.release import Phase
from simulation.stories.story import PHASE_SECONDS, STRESS_SECONDS, Event, Story

WATCH = "watch"
"""The kind of all these events; the place says what happens."""

PLACES = ("heartbeat", "exporter", "tested")

# Longer than the watchdog's time-out and what follows it; and early enough to end within the stress.
_SILENCE_SECONDS = 115.0
# Longer than the alert about it takes to fire and to be heard.
_OLD_SECONDS = 60.0
# Those who test look this often whether they may say that it is good.
_TESTED_AT = (25.0, 55.0, 90.0, 130.0, 170.0)


def with_watchers(story: Story) -> Story:
    """The story with them; nothing else goes wrong while the heartbeat is silenced, which would explain a hold."""
    random = Random(f"watchers {story.seed}")
    silent_at = random.uniform(5, STRESS_SECONDS - _SILENCE_SECONDS)
    old_at = random.uniform(1, STRESS_SECONDS - _OLD_SECONDS)
    events = [
        Event(round(silent_at, 3), WATCH, "heartbeat", _SILENCE_SECONDS, round(random.random(), 3)),
        Event(round(old_at, 3), WATCH, "exporter", _OLD_SECONDS),
        *(Event(round(at + random.uniform(0, 10), 3), WATCH, "tested") for at in _TESTED_AT),
    ]
    until = silent_at + _SILENCE_SECONDS
    others = [event for event in story.events if event.at + event.seconds < silent_at or event.at > until]
    phases = (Phase(traffic=0, duration=PHASE_SECONDS, gate="manual"), *story.policy.phases)
    policy = replace(story.policy, phases=phases)
    return replace(story, policy=policy, events=tuple(sorted([*others, *events], key=lambda event: event.at)))

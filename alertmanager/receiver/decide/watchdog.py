"""The heartbeat from Prometheus through Alertmanager: what its silence leads to.

`CanaryWatchdog` always fires, and Alertmanager repeats it. As long as it comes, an alert about the canary would come
too; its silence means that nobody would roll back. Silence is measured by the monotonic clock, for it rolls back in the
end: by the wall clock, a machine that was set forward, or had slept, took a heartbeat of three seconds ago for one of
fifteen minutes ago, and a healthy canary fell. Time in which this process itself was stopped is no silence
(`alertmanager.receiver.decide.pauses`).

Whoever silences everything of a service silences the heartbeat with it, and means people. Once, such a silence held a
healthy canary and rolled it back ten minutes later. So before its silence is held against Alertmanager, that is asked
whether it has the heartbeat and keeps it back (`excuse`): then Prometheus reaches it, and what fires acts at the next
look.
"""

from datetime import datetime
from typing import Literal

from alertmanager.receiver.decide.pauses import Pauses
from canary.policy.release import Watchdog as Section
from canary.rollout.entries import Entry, Started
from canary.rollout.kinds import Cause
from canary.rollout.state import Rollout, State
from canary.timing.clock import Clock

# Alertmanager repeats the heartbeat several times within the time-out; asked at half of it, it can be asked again.
_OVERDUE_RATIO = 0.5


class Watchdog:
    """Remembers when the heartbeat was last heard.

    Attributes:
        heard_at: when, by the wall clock, for people to read; None when this process has not heard it yet.
    """

    def __init__(self, section: Section, clock: Clock, pauses: Pauses) -> None:
        self.heard_at: datetime | None = None
        self._section = section
        self._clock = clock
        self._pauses = pauses
        # Before this process began nothing could be heard, so that no silence is longer than it has run.
        self._silent_since = clock.monotonic()

    def hear(self) -> None:
        """The heartbeat has come."""
        self.heard_at = self._clock.now()
        self._silent_since = self._clock.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the heartbeat has been away for so long that Alertmanager is worth asking about it."""
        return self.silence_seconds() > self._section.timeout * _OVERDUE_RATIO

    def excuse(self) -> None:
        """Alertmanager has the heartbeat and keeps it back for people's sake: nobody has heard it, and it is there."""
        self._silent_since = self._clock.monotonic()

    def notice(self, entry: Entry) -> None:
        """A journal entry: what was silent before a rollout began is not held against it."""
        if isinstance(entry, Started):
            self._silent_since = self._clock.monotonic()

    def silence_seconds(self) -> float:
        """How long the heartbeat has been away, as far as this process could have heard it."""
        return self._pauses.awake_seconds(self._clock.monotonic() - self._silent_since)

    def blind(self, rollout: Rollout) -> bool:
        """Whether the rollout, or the finish of one, flies blind."""
        return (rollout.running or rollout.state is State.FINISHING) and self.silence_seconds() > self._section.timeout

    def verdict(self, rollout: Rollout) -> Literal["hold", "rollback", "resume", ""]:
        """What the heartbeat, or its silence, asks for now."""
        if not rollout.running:
            return ""
        silence_seconds = self.silence_seconds()
        held = rollout.state is State.HOLDING
        if silence_seconds <= self._section.timeout:
            return "resume" if held and rollout.cause == Cause.WATCHDOG else ""
        risky = self._section.action == "rollback" and rollout.weight <= self._section.up_to
        if risky and silence_seconds > self._section.timeout + self._section.then:
            return "rollback"
        return "" if held else "hold"

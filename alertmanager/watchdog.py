"""The heartbeat from Prometheus through Alertmanager: what its silence leads to, as a pure function of time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from canary.policy.release import Watchdog as Section
from canary.rollout import Rollout, State


@dataclass
class Watchdog:
    """Remembers when the heartbeat was last heard.

    Args:
        listening_since: before this moment nothing could be heard, so that silence begins here at the earliest.
    """

    section: Section
    listening_since: datetime
    heard_at: datetime | None = None

    def silence_seconds(self, rollout: Rollout, now: datetime) -> float:
        """How long the heartbeat has been away during a rollout."""
        since = max(rollout.started_at, self.listening_since, self.heard_at or self.listening_since)
        return (now - since).total_seconds()

    def blind(self, rollout: Rollout, now: datetime) -> bool:
        """Whether the rollout flies blind."""
        return rollout.running and self.silence_seconds(rollout, now) > self.section.timeout

    def verdict(self, rollout: Rollout, now: datetime) -> Literal["hold", "rollback", "resume", ""]:
        """What the heartbeat, or its silence, asks for now."""
        if not rollout.running:
            return ""
        silence = self.silence_seconds(rollout, now)
        held = rollout.state is State.HOLDING
        if silence <= self.section.timeout:
            return "resume" if held and rollout.cause == "watchdog" else ""
        risky = self.section.action == "rollback" and rollout.weight <= self.section.up_to
        if risky and silence > self.section.timeout + self.section.then:
            return "rollback"
        return "" if held else "hold"

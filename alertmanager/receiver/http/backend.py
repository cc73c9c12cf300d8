"""What the API needs of the receiver behind it, part by part.

The API is tested with these, and the receiver is one of them without naming the API: what HTTP asks for stays apart
from what decides.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from alertmanager.receiver import answers
from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.http.webhook import Notification
from canary.rollout.entries import Entry
from canary.rollout.experiments import Trial
from canary.rollout.kinds import Category


class Drill(Protocol):
    """One drill as far as it has come."""

    def as_json(self) -> answers.Drill:
        """For the API."""
        ...


class Drills(Protocol):
    """What the handlers need of drills."""

    def report(self, drill_id: str) -> Drill | None:
        """What is known about a drill; None when its alert has not arrived."""
        ...

    def ask_prometheus(self) -> str:
        """Let Prometheus' own rule begin a drill; gives its id."""
        ...


class Freezes(Protocol):
    """What the handlers need of change freezes."""

    async def begin(self, until: datetime, *, actor: str, reason: str, key: str = "") -> Entry:
        """Start and raise nothing until a moment."""
        ...

    async def lift(self, *, actor: str, reason: str, key: str = "") -> Entry:
        """End the freeze that a person began."""
        ...


class Scheduler(Protocol):
    """What the handlers need of scheduled starts."""

    async def schedule(self, request: Request, at: datetime) -> Entry:
        """Remember a start for a moment."""
        ...

    async def cancel(self, *, actor: str, reason: str, key: str = "") -> Entry:
        """Take back what is scheduled."""
        ...


class Experiments(Protocol):
    """What the handlers need of experiments."""

    @property
    def trials(self) -> Mapping[str, Trial]:
        """Every experiment that the policy has, by name."""
        ...

    async def stop(self, name: str, *, actor: str, reason: str) -> None:
        """Give everybody the control."""
        ...

    async def start(self, name: str, *, actor: str, reason: str) -> None:
        """Begin a stopped experiment anew."""
        ...


class Receiver(Protocol):
    """What the handlers need of the receiver."""

    @property
    def drills(self) -> Drills:
        """Drills."""
        ...

    @property
    def freezes(self) -> Freezes:
        """Change freezes."""
        ...

    @property
    def scheduler(self) -> Scheduler:
        """Scheduled starts."""
        ...

    @property
    def trials(self) -> Experiments:
        """Experiments."""
        ...

    async def notify(self, notification: Notification) -> bool:
        """Decide and persist; False when something decided is not in the journal."""
        ...

    async def submit(self, request: Request) -> Entry:
        """Carry out a person's command."""
        ...

    async def note(self, rollout: str, text: str, *, actor: str, category: Category | None, key: str) -> Entry:
        """Write down an observation."""
        ...

    async def status(self) -> answers.Status:
        """Where everything stands."""
        ...

    async def history(self, rollout: str | None) -> list[Entry]:
        """The journal."""
        ...

    async def shop_metrics(self) -> dict[str, Any]:
        """Traffic split, error rate and payment success by role."""
        ...

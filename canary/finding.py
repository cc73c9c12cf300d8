"""What one look at one place found: the one form for `canary check`, `start` and the drill, whoever looks.

Routers, the database and every server are looked at by different modules; what they find is read by the same people in
the same lists. A finding names the place, says what was expected and found, and what to do, as errors do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How it is there."""

    OK = "ok"
    SKIPPED = "skipped"
    """The policy does not name this part."""
    WARNING = "warning"
    """Works, but will hurt one day."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of what was found.

    Attributes:
        place: where to look: `canary.yaml:13`, `database sqlite shop.db`, `prometheus http://127.0.0.1:9090`.
        what: what was expected and found.
        remedy: what to do; empty when there is nothing to do.
    """

    place: str
    status: Status
    what: str
    remedy: str = ""

    @property
    def failed(self) -> bool:
        """Whether it does not work as it is."""
        return self.status is Status.FAILED

    def __str__(self) -> str:
        text = f"{self.place}: {self.what}"
        return f"{text}; {self.remedy}" if self.remedy else text

    def as_json(self) -> dict[str, str]:
        """For `--format json`."""
        return {"place": self.place, "status": self.status.value, "what": self.what, "remedy": self.remedy}


def ok(place: str, what: str) -> Finding:
    """All is well there."""
    return Finding(place, Status.OK, what)


def skipped(place: str, what: str, remedy: str = "") -> Finding:
    """Nothing to look at there."""
    return Finding(place, Status.SKIPPED, what, remedy)


def warning(place: str, what: str, remedy: str) -> Finding:
    """It works, but should be changed."""
    return Finding(place, Status.WARNING, what, remedy)


def failed(place: str, what: str, remedy: str = "") -> Finding:
    """It does not work."""
    return Finding(place, Status.FAILED, what, remedy)


def summary(found: Sequence[str]) -> str:
    """The line below a list of findings, from the statuses that they have."""
    failures, warnings = found.count(Status.FAILED.value), found.count(Status.WARNING.value)
    return f"{_counted(len(found), 'finding')}: {failures} failed, {_counted(warnings, 'warning')}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

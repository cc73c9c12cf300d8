"""What people ask for at the page besides commands. Nothing of it moves traffic, so nobody says what they saw."""

from dataclasses import dataclass
from typing import Final, Protocol

from alertmanager.receiver.act.selfchecks import SelfCheck, SelfChecks
from canary.rollout.entries import Entry
from canary.rollout.kinds import Category


@dataclass(frozen=True)
class Errand:
    """One of them.

    Attributes:
        name: in its address.
        asks: the label of the field that must be filled in; empty when there is none.
    """

    name: str
    title: str
    does: str
    asks: str = ""


ERRANDS: Final = (
    Errand("note", "Add a note", "It stands in history and report, and decides nothing.", "What you have seen"),
    Errand(
        "drill",
        "Run a drill",
        "A rule of Prometheus fires a test alert, which takes the path of a rollback to this receiver; that looks at "
        "everything a rollback would touch. No traffic moves, and nobody is notified.",
    ),
    Errand(
        SelfCheck.CHECK,
        "Run canary check",
        "Looks at the policy and everything it names, from this machine. Takes some seconds; nothing is changed.",
    ),
    Errand(
        SelfCheck.PLAN,
        "Run canary plan",
        "Reads a week of the order database, and says what each phase can prove. May take a minute; changes nothing.",
    ),
)


class Drills(Protocol):
    """What begins drills."""

    def ask_prometheus(self) -> str:
        """Let Prometheus' own rule begin a drill; gives its id."""
        ...


class Receiver(Protocol):
    """What errands need of the receiver."""

    @property
    def drills(self) -> Drills:
        """Drills."""
        ...

    async def note(self, rollout: str, text: str, *, actor: str, category: Category | None, key: str) -> Entry:
        """Write down an observation."""
        ...


class Errands:
    """Does them."""

    def __init__(self, receiver: Receiver, checks: SelfChecks) -> None:
        self._receiver = receiver
        self._checks = checks

    async def do(self, errand: Errand, text: str, actor: str) -> None:
        """Do one.

        Raises:
            CanaryError: it cannot be done now; nothing has happened.
        """
        match errand.name:
            case "note":
                await self._receiver.note("", text, actor=actor, category=None, key="")
            case "drill":
                self._receiver.drills.ask_prometheus()
            case _:
                self._checks.start(SelfCheck(errand.name))

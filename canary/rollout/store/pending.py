"""Entries on their way into the journal that may be acted upon before they are there."""

from dataclasses import dataclass

from canary.errors import RefusedError
from canary.rollout.commands import Command
from canary.rollout.entries import Entry


@dataclass(eq=False)
class Pending:
    """One such entry.

    Attributes:
        command: what made it; it is asked again right before the entry is written.
        acted: it counts already, for the journal did not take it in time.
        written: as it stands in the journal, or as it was when the journal refused what it says.
        refused: why it is no longer wanted, such as another one that was first.
    """

    entry: Entry
    command: Command
    acted: bool = False
    written: Entry | None = None
    refused: RefusedError | None = None

"""What is acted upon and not in the journal yet, and what of it survives a restart.

Three kinds, in the order in which they get there: *recalled* entries were decided by a process that has ended before it
could write them, and wait for the journal to show the rollout that they are about; *pending* ones wait for the journal
to answer; *refused* ones it takes in no form, so that they count for as long as their rollout is the newest. All that
is acted upon is kept in the marker next to the state, so that no restart raises what was lowered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from canary.errors import RefusedError
from canary.rollout.commands.commands import Command
from canary.rollout.entries import Entry
from canary.rollout.state import Rollout
from canary.rollout.store.marker import Marker
from canary.rollout.store.recalled import UNKNOWN, Recalled


@dataclass(eq=False)
class Pending:
    """One entry on its way into the journal, which may be acted upon before it is there.

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

    @property
    def settled(self) -> bool:
        """Whether nothing is to be done about it any more."""
        return self.written is not None or self.refused is not None


class Unwritten:
    """The entries on their way into the journal.

    Args:
        marker: remembers over a restart what could not be written.

    Attributes:
        pending: what waits for the journal, oldest first.
        refused: what is in the journal in no form, for it refuses what the entry says.
    """

    def __init__(self, marker: Marker | None) -> None:
        self.marker = marker
        self.pending: list[Pending] = []
        self.refused: list[Entry] = []
        self._recalled: list[Entry] = []

    @property
    def entries(self) -> list[Entry]:
        """What is acted upon although it is not written."""
        return [*self.refused, *(pending.entry for pending in self.pending if pending.acted)]

    @property
    def recalled(self) -> bool:
        """Whether something waits for the journal to show its rollout."""
        return bool(self._recalled)

    def waiting(self, rollout: str, request: str) -> Pending | None:
        """What a request with this key waits to have written: its sender has asked again, or asks twice at once."""
        for pending in self.pending:
            if request and (pending.entry.request, pending.entry.rollout) == (request, rollout):
                return pending
        return None

    def found(self, entry: Entry) -> None:
        """Keep an entry until the journal shows the rollout that it is about."""
        self._recalled.append(entry)
        self.remember()

    async def recall(self) -> None:
        """Take up what an earlier process has left in the marker."""
        self._recalled += await self.marker.recall() if self.marker is not None else []

    def take_recalled(self, rollout: Rollout | None) -> list[Pending]:
        """What was recalled, now waiting to be written about the rollout that the journal shows.

        It is in the marker until whoever takes it has acted upon it and remembers anew.
        """
        recalled, self._recalled = self._recalled, []
        found = []
        for entry in recalled:
            command = Recalled(recalled=entry, actor=entry.actor)
            try:
                found.append(Pending(command.entry(rollout, entry.at), command))
            except RefusedError:
                # The journal says it already, or the rollout is over.
                continue
        self.pending += found
        return found

    def forget(self) -> None:
        """A person has said what is in force, after whatever was done without knowing: that is the whole story."""
        for pending in self.pending:
            pending.refused = RefusedError(
                f"what is in force was adopted before rollout {pending.entry.rollout} was lowered",
                remedy="look again (`canary status`) and decide anew",
            )
        self.pending.clear()
        self.refused.clear()
        self._recalled = [one for one in self._recalled if one.rollout != UNKNOWN]
        self.remember()

    def remember(self) -> None:
        """Keep in the marker what must survive a restart."""
        if self.marker is not None:
            self.marker.keep([*self._recalled, *self.entries])


def followed_by(entries: Sequence[Entry], unwritten: Sequence[Entry]) -> list[Entry]:
    """What was read from the journal, and what was not written before that; some of it may have been meanwhile."""
    written = {entry.identity[1:] for entry in entries} if unwritten else set()  # it has no position yet
    return [*entries, *(entry for entry in unwritten if entry.identity[1:] not in written)]

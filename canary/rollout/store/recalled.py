"""What was lowered without the journal, and is written by the process that found it remembered."""

from dataclasses import dataclass, replace
from datetime import datetime

from canary.errors import RefusedError
from canary.rollout.commands.commands import Command
from canary.rollout.commands.refusals import required
from canary.rollout.entries import Entry, Held
from canary.rollout.state import RUNNING, UNFINISHED, Rollout, State

UNKNOWN = "unknown"
"""The rollout of a decision that was made while nobody could read which one runs."""


@dataclass(frozen=True, kw_only=True)
class Recalled(Command):
    """A rollback or a hold as it was decided then; whoever lowered is obeyed, whatever has been decided since.

    Attributes:
        recalled: the entry as it was remembered.
    """

    lowers = True
    looked = False
    recalled: Entry

    def entry(self, rollout: Rollout | None, at: datetime) -> Entry:  # noqa: ARG002  # it was decided before
        """Refused when it is about another rollout, or has been overtaken by one that says more."""
        if rollout is None or self.recalled.rollout not in (rollout.id, UNKNOWN):
            raise RefusedError(f"rollout {self.recalled.rollout} is not the present one any more")
        known = required(rollout, RUNNING | UNFINISHED, "lower what was lowered")
        if isinstance(self.recalled, Held) and known.state is State.HOLDING:
            weight = self.recalled.weight
            if weight is None or weight >= known.weight:
                raise RefusedError(f"rollout {known.id} is held already")
        return replace(self.recalled, rollout=known.id)

"""What a caller saw before it decided, compared with what is so when its command is written.

State and phase are not enough, for a hold that was lifted and set anew looks the same: the rollout's id and the number
of its last decision are compared. And they are compared inside the append, not before: two people (or a person and an
alert) who decide from the same picture would both pass a comparison that is made earlier.
"""

from dataclasses import dataclass
from typing import Self

from canary.errors import PayloadError, RefusedError
from canary.rollout.commands.refusals import described
from canary.rollout.state import Rollout


@dataclass(frozen=True)
class Seen:
    """What a caller saw before it decided.

    Attributes:
        rollout: the rollout's id; `none` before the first.
        decision: position of its last decision; None when only the rollout was looked at.
    """

    rollout: str = "none"
    decision: int | None = None

    @classmethod
    def of(cls, rollout: Rollout | None) -> Self:
        """What somebody has seen who looked at this rollout."""
        return cls("none", 0) if rollout is None else cls(rollout.id, rollout.decision)

    @classmethod
    def read(cls, text: str) -> Self:
        """What a caller wrote: `ROLLOUT/DECISION`, or `ROLLOUT`.

        Raises:
            PayloadError: it is neither.
        """
        rollout, slash, decision = text.strip().strip('"').partition("/")
        if not rollout or (slash and not (decision.isascii() and decision.isdigit() and len(decision) < 19)):
            raise PayloadError(
                f"expected ROLLOUT/DECISION as `canary status --json` gives it under `seen`, found {text[:80]!a}",
                place="seen",
            )
        return cls(rollout, int(decision) if slash else None)

    def __str__(self) -> str:
        """As `read` takes it."""
        return self.rollout if self.decision is None else f"{self.rollout}/{self.decision}"

    def require(self, rollout: Rollout | None, *, rollout_only: bool) -> None:
        """Refuse when what was seen is no longer so.

        Raises:
            RefusedError: it says what has happened meanwhile.
        """
        now = Seen.of(rollout)
        if self.rollout == now.rollout and (rollout_only or self.decision in (None, now.decision)):
            return
        if rollout is None or self.rollout != now.rollout:
            what = f"rollout {self.rollout} is not the present one, which is {now.rollout}"
        else:
            why = f": {rollout.reason}" if rollout.reason else ""
            what = (
                f"rollout {rollout.id} has changed since you looked; it is {described(rollout)} by {rollout.actor}{why}"
            )
        raise RefusedError(what, remedy="look again (`canary status`) and decide anew")

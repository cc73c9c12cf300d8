"""From a row of the journal's table to an entry, without ever failing.

A row that this version does not understand (a kind of a newer version, damaged JSON, a field of another type) becomes
`Unknown`, which is kept, shown with its number, and changes nothing. A journal that ends the process which should be
rolling back would be worse than one with a gap that people are notified of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from canary.rollout.commands.freezing import FreezeLifted, Frozen
from canary.rollout.commands.scheduling import Scheduled, ScheduleEnded
from canary.rollout.entries import (
    Adopted,
    Advanced,
    Drilled,
    Elapsed,
    Entry,
    Failed,
    FinishBegan,
    Finished,
    FinishReturned,
    FinishStepped,
    Held,
    Note,
    Notified,
    Promoted,
    Recorded,
    Resumed,
    RollbackDecided,
    RolledBack,
    Started,
    StepDone,
    Unknown,
    adapter,
)
from canary.rollout.plan.planentries import Amended, Approved, PolicyChanged
from canary.timing.times import from_text

KINDS: Final[Mapping[str, type[Entry]]] = {
    one.kind.value: one
    for one in (
        Started, Adopted, Advanced, Held, Resumed, Promoted, RollbackDecided, StepDone, RolledBack, Failed, Notified,
        Recorded, Drilled, Elapsed, FinishBegan, FinishStepped, FinishReturned, Finished, Note, Frozen, FreezeLifted,
        PolicyChanged, Amended, Approved, Scheduled, ScheduleEnded,
    )
}  # fmt: skip
"""Every kind of the rollouts' chain, as rows name it."""


@dataclass(frozen=True)
class Chain:
    """A sequence of entries in the journal in which each follows one other.

    Attributes:
        name: empty for the rollouts' own; the others stand under `SERVICE/NAME`.
        kinds: the classes of its entries, as rows name them.
    """

    name: str
    kinds: Mapping[str, type[Entry]]


ROLLOUTS: Final = Chain("", KINDS)
"""The chain of everything that is decided and done about rollouts."""


def read(row: Mapping[str, Any], data: object, kinds: Mapping[str, type[Entry]]) -> Entry:
    """The entry that a row holds; `Unknown` when it is none.

    Args:
        row: the columns `seq`, `rollout`, `kind`, `at`, `actor`, `reason`, `data`.
        data: what the column `data` holds, parsed; None when it is no JSON.
        kinds: the classes of the chain that is read.
    """
    kind = kinds.get(str(row["kind"]))
    # Drills were notes once.
    if kind is Recorded and isinstance(data, Mapping) and "passed" in data:
        kind = Drilled
    common = {name: row[name] for name in ("rollout", "at", "actor", "reason", "seq")}
    fault = "no JSON object" if not isinstance(data, Mapping) else "no kind of this version" if kind is None else ""
    if kind is not None and isinstance(data, Mapping):
        try:
            entry: Entry = adapter(kind).validate_python({**data, **common})
        except ValidationError as error:
            first = error.errors()[0]
            fault = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        else:
            return entry
    return Unknown(
        rollout=str(row["rollout"]),
        at=_moment(row["at"]),
        actor=str(row["actor"]),
        reason=str(row["reason"]),
        seq=int(row["seq"]),
        written_kind=str(row["kind"]),
        written_data=str(row["data"]),
        fault=fault,
        may_decide=kind is None or kind.decides,
    )


def _moment(text: object) -> datetime:
    """A damaged moment is shown as the beginning of time."""
    try:
        return from_text(str(text))
    except (ValueError, OverflowError):
        return from_text("1970-01-01T00:00:00Z")

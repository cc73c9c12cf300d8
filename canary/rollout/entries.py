"""The lines of the rollout's journal: one class per kind, each with exactly the fields that its kind has.

A line is stored as a row with common columns (rollout, moment, actor, reason) and a JSON text for what its kind has
besides. Reading never fails: a row that this version does not understand (a kind of a newer version, damaged JSON, a
field of another type) becomes `Unknown`, which is kept, shown with its number, and changes nothing. A journal that
ends the process which should be rolling back would be worse than one with a gap that people are told of.

Decisions (`decides`) change what the rollout is; the number of the last one is what a caller has *seen*, and what is
compared when it asks for a change. The other kinds only remember what has been done about decisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from canary.names import ALERTS, OTHER
from canary.times import from_text

# Damage must not get further than the row that it is in: a share of 7, a time of NaN or a moment without a zone breaks
# the arithmetic of whoever shows the rollout, and with it the metrics that every rule rests on.
_Ratio = Annotated[float, Field(ge=0, le=1)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Kind(StrEnum):
    """What one line of the journal records, as it is written there."""

    STARTED = "started"
    ADVANCED = "advanced"
    HELD = "held"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    ROLLBACK = "rollback"
    STEP_DONE = "step_done"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    NOTIFIED = "notified"
    RECORDED = "noted"
    DRILLED = "drilled"
    ELAPSED = "elapsed"
    EXPERIMENT_STARTED = "experiment_started"
    EXPERIMENT_WEIGHTED = "experiment_weighted"
    EXPERIMENT_STOPPED = "experiment_stopped"
    UNKNOWN = "unknown"


class Step(StrEnum):
    """What has to be done about a decision; the first two in the order in which they protect customers."""

    TRAFFIC = "traffic"
    PROCESS = "process"
    NOTIFY = "notify"
    LOG = "log"
    REPORT = "report"


class Cause(StrEnum):
    """Why a rollout was held or rolled back, where it was no alert; an alert's cause is its name."""

    MANUAL = "manual"
    """A person; only a person lifts such a hold."""
    WATCHDOG = "watchdog"
    """The heartbeat stayed away."""
    MAX_DURATION = "max_duration"
    """A phase was not allowed to end for too long."""


CAUSES: Final = frozenset({*Cause, *ALERTS})
"""Every cause that is counted under its own name."""


def cause_label(cause: str) -> str:
    """The bounded label value of a cause: alerts of the users' own rules are counted together."""
    return cause if cause in CAUSES else OTHER


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What every line has.

    Attributes:
        rollout: whose line it is: a rollout's id, or an experiment's name in the experiments' chain.
        at: when it was decided, UTC, by the writer's wall clock; for people, never compared with another clock.
        actor: a person's name, `alertmanager`, `prometheus` or `receiver`.
        reason: for people.
        seq: position in the journal, 0 before it is appended.
        request: the caller's own key of the request that led here; the same key again gets this entry again.
        boot: which boot of which machine `uptime_seconds` belongs to.
        uptime_seconds: the writer's monotonic clock. Between two entries of one boot it measures exactly how much time
            has passed, whatever was done to the wall clock, across restarts of the process.
    """

    kind: ClassVar[Kind]
    decides: ClassVar[bool] = False

    rollout: str
    at: AwareDatetime
    actor: str
    reason: str = ""
    seq: int = 0
    request: str = ""
    boot: str = ""
    uptime_seconds: _Seconds = 0.0

    @property
    def label(self) -> str:
        """The kind as the journal has it."""
        return self.kind.value

    def data(self) -> dict[str, Any]:
        """What the kind has besides the common columns, JSON-ready; what is empty is left out."""
        text: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json", exclude=_COLUMNS, exclude_none=True)
        return {name: value for name, value in text.items() if name not in _OPTIONAL or value}


_COLUMNS: Final = {"rollout", "at", "actor", "reason", "seq"}
_OPTIONAL: Final = {"request", "boot", "uptime_seconds"}


@dataclass(frozen=True, kw_only=True)
class Started(Entry):
    """A rollout began, with the plan that it runs by.

    Attributes:
        traffic: the canary's weight in each phase, 0 to 1.
        durations_seconds: how long each phase lasts at least.
    """

    kind = Kind.STARTED
    decides = True
    stable: str
    canary: str
    traffic: Annotated[tuple[_Ratio, ...], Field(min_length=1)]
    durations_seconds: Annotated[tuple[_Seconds, ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        """Refuse a plan in which a phase has a share and no duration."""
        if len(self.traffic) != len(self.durations_seconds):
            raise ValueError(f"{len(self.traffic)} shares for {len(self.durations_seconds)} durations")


@dataclass(frozen=True, kw_only=True)
class Advanced(Entry):
    """The rollout entered the phase with this index."""

    kind = Kind.ADVANCED
    decides = True
    phase: int


@dataclass(frozen=True, kw_only=True)
class Held(Entry):
    """The weight is frozen.

    Attributes:
        cause: a `Cause`, or an alert's name.
        lifts: whether the hold ends by itself once its cause is gone.
        rollback_at: end of a countdown to a rollback that a person may cancel.
    """

    kind = Kind.HELD
    decides = True
    cause: str = Cause.MANUAL
    lifts: bool = False
    rollback_at: AwareDatetime | None = None


@dataclass(frozen=True, kw_only=True)
class Resumed(Entry):
    """A hold has ended."""

    kind = Kind.RESUMED
    decides = True


@dataclass(frozen=True, kw_only=True)
class Promoted(Entry):
    """The canary keeps all traffic."""

    kind = Kind.PROMOTED
    decides = True


@dataclass(frozen=True, kw_only=True)
class RollbackDecided(Entry):
    """All customers are to leave the canary; *cause* is a `Cause` or an alert's name."""

    kind = Kind.ROLLBACK
    decides = True
    cause: str


@dataclass(frozen=True, kw_only=True)
class StepDone(Entry):
    """One thing that a decision asks for has been done and confirmed."""

    kind = Kind.STEP_DONE
    step: Step


@dataclass(frozen=True, kw_only=True)
class RolledBack(Entry):
    """A rollback is complete."""

    kind = Kind.ROLLED_BACK
    decides = True


@dataclass(frozen=True, kw_only=True)
class Failed(Entry):
    """A person has given a rollback up, and has done it by hand."""

    kind = Kind.FAILED
    decides = True


@dataclass(frozen=True, kw_only=True)
class Notified(Entry):
    """People have been told of an entry.

    Attributes:
        entry: the entry's position.
        targets: who took the message, as names without secrets.
        owed: who had not taken it by then; None in what older versions wrote.
        expired: whether it was given up because it was too old.
    """

    kind = Kind.NOTIFIED
    entry: int
    targets: tuple[str, ...] = ()
    owed: tuple[str, ...] | None = None
    expired: bool = False


@dataclass(frozen=True, kw_only=True)
class Recorded(Entry):
    """Something worth remembering that decides nothing, made once per key.

    Attributes:
        key: what it is about, such as `watch:CanaryHighErrorRate`.
        occasion: why people should hear of it: `dry_run`, `watch`, `gate`, `silence`; empty when they need not.
    """

    kind = Kind.RECORDED
    key: str = ""
    occasion: str = ""


@dataclass(frozen=True, kw_only=True)
class Drilled(Entry):
    """A drill has ended; its *rollout* is the drill's own name."""

    kind = Kind.DRILLED
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Elapsed(Entry):
    """How long the phase has lasted by the writer's monotonic clock; what another machine goes on from."""

    kind = Kind.ELAPSED
    phase: int
    seconds: _Seconds


@dataclass(frozen=True, kw_only=True)
class Unknown(Entry):
    """A row that this version does not understand; it changes nothing.

    Attributes:
        written_kind: the kind as it stands there.
        written_data: the rest as it stands there.
        fault: why it was not understood.
    """

    kind = Kind.UNKNOWN
    written_kind: str = ""
    written_data: str = ""
    fault: str = ""

    @property
    def label(self) -> str:
        """The kind as the journal has it."""
        return self.written_kind

    @property
    def may_decide(self) -> bool:
        """Whether the row may change what the rollout is; a kind of a newer version may."""
        kind = KINDS.get(self.written_kind)
        return kind is None or kind.decides


KINDS: Final[Mapping[str, type[Entry]]] = {
    one.kind.value: one
    for one in (
        Started, Advanced, Held, Resumed, Promoted, RollbackDecided, StepDone, RolledBack, Failed, Notified, Recorded,
        Drilled, Elapsed,
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

# One reader and writer per kind, made when first needed: it never changes, and is costly to make.
_ADAPTERS: Final[dict[Kind, TypeAdapter[Any]]] = {}


def _adapter(kind: type[Entry]) -> TypeAdapter[Any]:
    if kind.kind not in _ADAPTERS:
        _ADAPTERS[kind.kind] = TypeAdapter(kind)
    return _ADAPTERS[kind.kind]


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
            entry: Entry = _adapter(kind).validate_python({**data, **common})
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
    )


def _moment(text: object) -> datetime:
    """A damaged moment is shown as the beginning of time."""
    try:
        return from_text(str(text))
    except (ValueError, OverflowError):
        return from_text("1970-01-01T00:00:00Z")

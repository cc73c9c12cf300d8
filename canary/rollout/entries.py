"""The lines of the rollout's journal: one class per kind, each with exactly the fields that its kind has.

A line is stored as a row with common columns (rollout, moment, actor, reason) and a JSON text for what its kind has
besides; `canary.rollout.journal.rows` reads it back.

Decisions (`decides`) change what the rollout is; the number of the last one is what a caller has *seen*, and what is
compared when it asks for a change. The other kinds only remember what has been done about decisions.
"""
# long: one list of kinds, each a few lines

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import AwareDatetime, Field, TypeAdapter

from canary.policy.plans import NORMAL
from canary.policy.routers.slots import Slot
from canary.rollout.kinds import Category, Cause, Kind, Step
from canary.rollout.passport import Passport

# Damage must not get further than the row that it is in: a share of 7, a time of NaN or a moment without a zone breaks
# the arithmetic of whoever shows the rollout, and with it the metrics that every rule rests on.
Ratio = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


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
    uptime_seconds: Seconds = 0.0

    @property
    def label(self) -> str:
        """The kind as the journal has it."""
        return self.kind.value

    @property
    def identity(self) -> tuple[int, str, str, datetime]:
        """What makes a row this very decision; texts come back from a database as it could store them."""
        return self.seq, self.rollout, self.label, self.at

    def data(self) -> dict[str, Any]:
        """What the kind has besides the common columns, JSON-ready; what is empty is left out."""
        text: dict[str, Any] = adapter(type(self)).dump_python(self, mode="json", exclude=_COLUMNS, exclude_none=True)
        return {name: value for name, value in text.items() if name not in _OPTIONAL or value}


_COLUMNS: Final = {"rollout", "at", "actor", "reason", "seq", "may_decide"}
_OPTIONAL: Final = {"request", "boot", "uptime_seconds"}


@dataclass(frozen=True, kw_only=True)
class Started(Entry):
    """A rollout began, with the plan that it runs by.

    Attributes:
        traffic: the canary's weight in each phase, 0 to 1.
        durations_seconds: how long each phase lasts at least.
        plan: the plan's name in the policy.
        digest: of the policy that it runs by; empty in what older versions wrote.
        policy: everything that decides, as `deciding` gives it; None in what older versions wrote.
        passport: what was found when it began; None where nobody looked, and in what older versions wrote.
        stable_slot: with `router.slots`, the one that is stable until the release is finished; None without.
    """

    kind = Kind.STARTED
    decides = True
    stable: str
    canary: str
    traffic: Annotated[tuple[Ratio, ...], Field(min_length=1)]
    durations_seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    plan: str = NORMAL
    digest: str = ""
    policy: dict[str, Any] | None = None
    passport: Passport | None = None
    stable_slot: Slot | None = None

    def __post_init__(self) -> None:
        """Refuse a plan in which a phase has a share and no duration."""
        if len(self.traffic) != len(self.durations_seconds):
            raise ValueError(f"{len(self.traffic)} shares for {len(self.durations_seconds)} durations")


@dataclass(frozen=True, kw_only=True)
class Adopted(Started):
    """A person has said what is in force where the journal did not know it; it is held there.

    Attributes:
        weight: the canary's weight.
        salts: by which the routers chose the users until then.
    """

    kind = Kind.ADOPTED
    weight: Ratio
    salts: tuple[int, ...] = ()


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
        weight: what the weight is lowered to; None where it stays.
        kpi: the KPI that the alert is about; empty for all else.
    """

    kind = Kind.HELD
    decides = True
    cause: str = Cause.MANUAL
    lifts: bool = False
    rollback_at: AwareDatetime | None = None
    weight: Ratio | None = None
    kpi: str = ""


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
class FinishBegan(Entry):
    """A promoted release is being finished: from here on both groups of servers are to run the new version.

    Attributes:
        weights: the share of the canary's servers in each step, 0 in the last.
        step_seconds: how long each step lasts at least.
        unverified: a person has said that the stable servers run the new version, although nobody could ask them.
    """

    kind = Kind.FINISHING
    decides = True
    weights: Annotated[tuple[Ratio, ...], Field(min_length=1)]
    step_seconds: Seconds
    unverified: bool = False


@dataclass(frozen=True, kw_only=True)
class FinishStepped(Entry):
    """Traffic returned to the stable servers as the step with this index says."""

    kind = Kind.FINISH_STEP
    decides = True
    step: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class FinishReturned(Entry):
    """Everybody went back to the canary's servers: the release is promoted, and not finished."""

    kind = Kind.FINISH_BACK
    decides = True


@dataclass(frozen=True, kw_only=True)
class Finished(Entry):
    """The release is over: the stable servers run the new version and have all traffic, the canary's process ended.

    With `router.slots` nobody moves and nothing ends: the two slots change roles by this entry.
    """

    kind = Kind.FINISHED
    decides = True


@dataclass(frozen=True, kw_only=True)
class RollbackDecided(Entry):
    """All customers are to leave the canary.

    Attributes:
        cause: a `Cause` or an alert's name.
        category: what it is due to, as whoever asked for it says; None where nobody does.
        kpi: the KPI that the alert is about; empty for all else.
    """

    kind = Kind.ROLLBACK
    decides = True
    cause: str
    category: Category | None = None
    kpi: str = ""


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
        occasion: why people should hear of it: `dry_run`, `watch`, `gate`, `router`, `silence`; empty when they
            need not.
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
    seconds: Seconds


@dataclass(frozen=True, kw_only=True)
class Note(Entry):
    """A person's observation, during a rollout or after it; the reason is its text.

    Attributes:
        category: what a rollback was due to, once that is known.
    """

    kind = Kind.NOTE
    category: Category | None = None


@dataclass(frozen=True, kw_only=True)
class Unknown(Entry):
    """A row that this version does not understand; it changes nothing.

    Attributes:
        written_kind: the kind as it stands there.
        written_data: the rest as it stands there.
        fault: why it was not understood.
        may_decide: whether the row may change what the rollout is; a kind of a newer version may.
    """

    kind = Kind.UNKNOWN
    written_kind: str = ""
    written_data: str = ""
    fault: str = ""
    may_decide: bool = True

    @property
    def label(self) -> str:
        """The kind as the journal has it."""
        return self.written_kind


# One reader and writer per kind, made when first needed: it never changes, and is costly to make.
_ADAPTERS: Final[dict[Kind, TypeAdapter[Any]]] = {}


def adapter(kind: type[Entry]) -> TypeAdapter[Any]:
    """What turns a kind's data into its entry, and back."""
    if kind.kind not in _ADAPTERS:
        _ADAPTERS[kind.kind] = TypeAdapter(kind)
    return _ADAPTERS[kind.kind]

"""What a report says, as data; the renderers only write it down."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from canary.report.drift import Drift
from canary.report.review.asking import Points
from canary.report.review.money import Money
from canary.report.review.opinion import Opinion
from canary.report.review.rows import ReplicaRows, RowShare
from canary.report.review.technical import Measured
from canary.rollout.entries import Entry, Note, RollbackDecided
from canary.rollout.state import Rollout

__all__ = ["Firing", "KpiStory", "PhaseStory", "Points", "Report", "Review"]


@dataclass(frozen=True)
class KpiStory:
    """How one KPI went.

    Attributes:
        ratio: whether its values are shares.
        complement: whether it is published as one minus the rate that is judged, so that more is worse.
        change, lower, upper: relative change of the canary against stable over time, and its confidence band.
        stable, canary: the KPI by role, at the end.
        units: the canary's units at the end.
        verdict: the last one.
        over_dispersion: by what its evidence is divided, as no column names the customer; None where one does.
    """

    name: str
    ratio: bool
    complement: bool = False
    change: Points = ()
    lower: Points = ()
    upper: Points = ()
    tolerance: float | None = None
    stable: float | None = None
    canary: float | None = None
    units: float | None = None
    verdict: str = ""
    over_dispersion: float | None = None

    @property
    def harmed(self) -> float | None:
        """Estimated units that fared worse than they would have on stable; None where that cannot be said."""
        if not self.ratio or self.stable is None or self.canary is None or self.units is None:
            return None
        lost = self.canary - self.stable if self.complement else self.stable - self.canary
        return max(0.0, lost * self.units)


@dataclass(frozen=True)
class Firing:
    """One alert of the rollout, from when to when it fired."""

    name: str
    action: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class PhaseStory:
    """One phase as it was lived: its number from 1, the wanted share, when it began and ended."""

    number: int
    traffic_ratio: float
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Review:
    """What a review asks besides the KPIs; empty where it is not known.

    Attributes:
        technical: errors, response times, machines and the database by version.
        money: what the canary's customers cost or brought, by currency.
        opinions: what others' usual settings would have done, and when.
        rows: which share of each version's rows does not fit together, by kind of fault.
        replica: rows of the read replica that were not as in its primary; None where nobody looked.
    """

    technical: Sequence[Measured] = ()
    money: Sequence[Money] = ()
    opinions: Sequence[Opinion] = ()
    rows: Sequence[RowShare] = ()
    replica: Sequence[ReplicaRows] | None = None


@dataclass(frozen=True)
class Report:
    """Everything about one rollout.

    Attributes:
        until: when it ended, or when the report was made.
        entries: the journal's decisions, without bookkeeping.
        notes: what people observed, during the rollout and after it.
        share: the canary's traffic weight as read back from the routers.
        exposed: what the canary's customers did, by event: visits, orders, payments.
        review: the technical side, the money, and what others would have done.
        complete: whether Prometheus could be asked.
        gaps: what could not be found out, and why.
        advice: what to look at next.
        drift: what the last releases add up to, this one included when all customers have got it.
        zone: in which people read its times, `receiver.timezone`.
    """

    service: str
    rollout: Rollout
    until: datetime
    made_at: datetime
    entries: Sequence[Entry]
    phases: Sequence[PhaseStory]
    notes: Sequence[Note] = ()
    share: Points = ()
    kpis: Sequence[KpiStory] = ()
    alerts: Sequence[Firing] = ()
    exposed: dict[str, float] = field(default_factory=dict)
    review: Review = Review()
    complete: bool = True
    gaps: Sequence[str] = ()
    advice: Sequence[str] = ()
    drift: Sequence[Drift] = ()
    zone: str = "UTC"

    @property
    def category(self) -> str:
        """What the rollback was due to, as people said last; empty where nobody did."""
        said = [entry.category for entry in (*self.entries, *self.notes) if isinstance(entry, RollbackDecided | Note)]
        return next((one.value.replace("_", " ") for one in reversed(said) if one is not None), "")

    @property
    def summary(self) -> str:
        """The outcome in one sentence."""
        rollout = self.rollout
        outcome = {
            "promoted": "was promoted",
            "finishing": "was promoted, and is being finished",
            "finished": "was promoted and finished",
            "rolled_back": "was rolled back",
            "rolling_back": "is being rolled back",
            "failed": "failed",
            "holding": "is held",
        }.get(rollout.state.value, "is running")
        why = f" ({rollout.cause})" if rollout.cause else ""
        return f"{rollout.canary} against {rollout.stable} {outcome}{why}."

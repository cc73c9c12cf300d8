"""The policy's KPIs: what is measured, how it is judged, and what a proven harm leads to."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Discriminator, Field

from canary.policy.values.types import Finite, Identifier, Name, OpenRatio, Ratio, ShareLimit, Text, section

Action = Literal["rollback", "hold", "warn"]
Judge = Literal["evidence", "threshold"]


@section
class Conversion:
    """A share of units that convert later: visits that become orders, carts that become orders."""

    kind: Literal["conversion"]
    from_: Annotated[Name, Field(alias="from")]
    """Event whose rows are the units."""
    to: Name
    """Event that marks a unit as converted; its `parent` names the unit."""
    by: Text | None = None
    """Column of the event `from` by whose values the same test is made besides (payment provider, device, country): a
    canary that breaks one of them is found, and the alert names it. A version must not be able to change the value."""
    segments: Annotated[int, Field(ge=1, le=20)] = 5
    """How many of its values are looked at, the most frequent before the start; all others count as `other`."""
    complement: bool = False
    """Publish one minus the rate (cart abandonment); it is judged by the conversion all the same."""
    tolerance: ShareLimit = 0.1
    """Relative fall against stable that is harm when proven."""
    floor: OpenRatio | None = None
    """Lowest acceptable rate of the canary by itself."""
    target: Ratio | None = None
    """Normal range, for information; below it (above, for a complement) `CanaryOutOfRange` tells."""
    owner: Identifier | None = None
    """Who looks after it: named in messages and as the label `owner` of its alerts; the audience of this name in
    `notify.audiences` hears of every hold and rollback because of it."""
    action: Action = "warn"
    judge: Judge = "evidence"
    """`threshold`: the literal windowed rule instead; docs/evidence/evidence.md says what it costs."""


@section
class Success:
    """A share of units that succeed rather than fail: payments."""

    kind: Literal["success"]
    of: Name
    """Event whose `outcome` says succeeded, failed or pending."""
    attempts: Literal["first", "last", "each"] = "first"
    """What counts of a customer who tries several times: the `first` attempt, how it ended (`last`: a success within
    `evidence.pending_timeout` of the first attempt), or `each` by itself, which is then only held for."""
    by: Text | None = None
    """Column of the event by whose values the same test is made besides (payment provider, device, country): a
    canary that breaks one of them is found, and the alert names it. A version must not be able to change the value."""
    segments: Annotated[int, Field(ge=1, le=20)] = 5
    """How many of its values are looked at, the most frequent before the start; all others count as `other`."""
    tolerance: ShareLimit = 0.05
    """Relative fall of the success rate against stable that is harm when proven."""
    floor: OpenRatio | None = None
    """Lowest acceptable success rate of the canary by itself."""
    target: Ratio | None = None
    """Normal range, for information."""
    owner: Identifier | None = None
    """Who looks after it: named in messages and as the label `owner` of its alerts; the audience of this name in
    `notify.audiences` hears of every hold and rollback because of it."""
    action: Action = "warn"
    judge: Judge = "evidence"


@section
class Mean:
    """An average of values: order value, satisfaction score, checkout time."""

    kind: Literal["mean"]
    of: Name
    """Event whose `value` is averaged."""
    since: Name | None = None
    """Event that the rows come from: then the seconds from there are averaged instead (checkout time)."""
    cap: OpenRatio | Literal["none"] | None = None
    """Values above this share of stable's values of the hours before count as much as that: one large order would hide
    a loss of a fifth. By default 95% for amounts of money, `none` for others."""
    better: Literal["higher", "lower"] = "higher"
    """Which direction is good."""
    tolerance: Ratio = 0.1
    """Relative change in the bad direction against stable that is harm when proven."""
    floor: Finite | None = None
    """Lowest acceptable mean of the canary by itself, in the value's own unit (shown, not judged)."""
    target: Finite | None = None
    """Normal range, for information, in the value's own unit."""
    owner: Identifier | None = None
    """Who looks after it: named in messages and as the label `owner` of its alerts; the audience of this name in
    `notify.audiences` hears of every hold and rollback because of it."""
    action: Action = "warn"
    judge: Judge = "evidence"


Kpi = Annotated[Conversion | Success | Mean, Discriminator("kind")]


def events_of(kpi: Kpi) -> tuple[str, ...]:
    """The events that a KPI is made of."""
    if isinstance(kpi, Conversion):
        return (kpi.from_, kpi.to)
    return (kpi.of, kpi.since) if isinstance(kpi, Mean) and kpi.since is not None else (kpi.of,)


def segment_column(kpis: Iterable[Kpi], event: str) -> str | None:
    """The column of an event's rows by whose values a KPI is looked at; None where none is."""
    wanted = (kpi for kpi in kpis if not isinstance(kpi, Mean) and units_event(kpi) == event)
    return next((kpi.by for kpi in wanted if kpi.by is not None), None)


def units_event(kpi: Kpi) -> str:
    """The event whose rows are the KPI's units."""
    return kpi.from_ if isinstance(kpi, Conversion) else kpi.of


DEFAULT_KPIS: dict[str, Kpi] = {
    "conversion_rate": Conversion(kind="conversion", from_="visits", to="orders", action="rollback"),
    "average_order_value": Mean(kind="mean", of="orders", action="hold"),
    "cart_abandonment_rate": Conversion(kind="conversion", from_="carts", to="orders", complement=True, action="hold"),
    "payment_success_rate": Success(kind="success", of="payments", floor=0.9, target=0.95, action="rollback"),
    "checkout_completion_rate": Conversion(
        kind="conversion", from_="checkouts", to="orders", target=0.9, action="hold"
    ),
    "customer_satisfaction": Mean(kind="mean", of="feedback", action="hold"),
}
"""The strategy's six: what a policy without `kpis` publishes and judges."""

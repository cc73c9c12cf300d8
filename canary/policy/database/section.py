"""The policy's order database: where it is, how it is read, and which tables hold which events."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from canary.policy.database.requestlog import RequestLog
from canary.policy.database.sources import Source
from canary.policy.values.types import (
    DatabaseUrl,
    EnvironmentName,
    Interval,
    Lateness,
    Name,
    PositivePatience,
    PositiveSeconds,
    Seconds,
    Text,
    TimeZone,
    lasting,
    section,
)

LOG_SOURCE = "log"
"""The source of what `canary assignments` keeps, which nobody has to write down again."""

TimeUnit = Literal["seconds", "milliseconds", "microseconds"]
"""In which unit a column of numbers counts the time since 1970."""


@section
class Event:
    """One kind of row in the order database."""

    table: Text | None = None
    """Table or view, optionally `schema.table`."""
    sql: Text | None = None
    """A SELECT instead of a table; its columns are named by the keys below."""
    source: Name | None = None
    """Entry of `database.sources` in which it is; `log` for what `canary assignments` keeps (`database.log`). Without
    it, the database that `database.url` names."""
    id: Text = "id"
    """Column that identifies a row."""
    time: Text = "created_at"
    """Column with the time of the event; rows where it is NULL have not happened."""
    time_unit: TimeUnit | None = None
    """Unit of `time` and `settled` where they are numbers since 1970 (UTC); without it they must be times."""
    version: Text | None = "version"
    """Column with the version of the shop that wrote the row. `null`: none has; the row takes the version of the
    nearest row that it comes from (`parent`), else that of its `unit` from `database.assignments`, else it is
    `unknown`. Where `database.assignments` is given, an event that does not say `version` has none."""
    unit: Text | None = None
    """Column with what the router assigns to a version: the customer's cookie, account or address. Without it a row
    belongs to the customer of the nearest row that it comes from."""
    identity: Name | None = None
    """Entry of `database.identities` that says which customer of the router's the `unit` is, where the rows know the
    customer by another name: an account, a guest's token."""
    tag: Text | None = None
    """Column with a header behind which the router wrote which side served the request (`router.tag_header`): the row
    has the version that ran on that side at the row's time. Where an event has one, an event that does not say
    `version` has none."""
    parent: Text | dict[Name, Text] | None = None
    """Column that names the unit this row comes from; a mapping when there are several (`visits: visit_id`)."""
    value: Text | None = None
    """Column with a number: an order's total, a score."""
    currency: Text | None = None
    """Column with the value's currency; sums are kept apart by it."""
    outcome: Text | None = None
    """Column with the row's outcome."""
    succeeded: Annotated[tuple[Text, ...], Field(min_length=1)] = ("succeeded",)
    """Outcomes that are a success."""
    failed: tuple[Text, ...] = ("failed",)
    """Outcomes that are a failure."""
    pending: tuple[Text, ...] = ()
    """Outcomes that are fine although no money has come (a bank transfer that is awaited): neither success nor failure,
    however long they last; what becomes of them later counts. Every outcome that none of the three names is unknown,
    and counts as a failure once it is older than `evidence.pending_timeout`."""
    settled: Text | None = None
    """Column with the time at which the outcome became final."""
    exclude: dict[Text, tuple[str, ...]] = field(default_factory=dict)
    """Rows with one of these values in one of these columns do not count (cancelled orders, test customers)."""
    variant: Text | None = None
    """Column with the variant of an experiment, when it is not the version."""


def names_customers(events: Mapping[str, Event], name: str, path: frozenset[str] = frozenset()) -> bool:
    """Whether an event's rows, or those they come from, say which customer they belong to."""
    if events[name].unit is not None:
        return True
    parent = events[name].parent
    above = tuple(parent) if isinstance(parent, dict) else ()
    if isinstance(parent, str):
        stem = parent.removesuffix("_id")
        above = tuple(one for one in (f"{stem}s", stem) if one in events)
    return any(names_customers(events, one, path | {name}) for one in above if one in events and one not in path)


DEFAULT_EVENTS: dict[str, Event] = {
    "visits": Event(table="visits", unit="visitor_id"),
    "carts": Event(table="carts", parent="visit_id"),
    "checkouts": Event(table="carts", time="checkout_started_at", parent="visit_id"),
    "orders": Event(
        table="orders",
        parent={"visits": "visit_id", "carts": "cart_id", "checkouts": "cart_id"},
        value="total",
        currency="currency",
        exclude={"status": ("cancelled",)},
    ),
    "payments": Event(table="payments", parent="order_id", value="amount", outcome="status", settled="settled_at"),
    "feedback": Event(table="feedback", parent="order_id", value="score"),
}
"""The default schema's events: what a policy without `database.events` reads."""


@section
class Assignments:
    """Who was served by which version: one row for each time that a unit was first given one, from a table or SQL.

    A row of an event takes the last assignment of its unit up to its own time, or else, as the assignment may be
    written after what it led to, the first within `database.lateness` after it. Equal rows count once.
    """

    table: Text | None = None
    """Table or view in the order database, optionally `schema.table`."""
    sql: Text | None = None
    """A SELECT instead of a table; its columns are named by the keys below."""
    from_: Annotated[Literal["router", "log"] | None, Field(alias="from")] = None
    """`router` instead of a table: computed from each row's `unit`, when that is what the router hashes, with the salt
    and the weights of the journal. Testers count as everybody else. `log`: what `canary assignments` found in the
    router's log (`database.log`), wherever it keeps that."""
    source: Name | None = None
    """Entry of `database.sources` in which the table is. For events of other sources it is held in memory, the newest
    million rows."""
    unit: Text = "unit"
    """Column with the unit, as the events' `unit` columns write it."""
    time: Text = "time"
    """Column with the time of the assignment, in the zone of the events' times."""
    time_unit: TimeUnit | None = None
    """Unit of `time` where it is a number since 1970."""
    version: Text = "version"
    """Column with the version."""
    tester: Text | None = None
    """Column that is true (`1`, `true`, `yes`) where no chance has put the unit on that version: testers, staff,
    machines. While such an assignment is in force, rows of the unit, and rows of the same database that descend from
    them, count nowhere. With `from: log` the log says it."""


@section
class Identities:
    """Which customer of the router's is known to the shop by which other name: pairs from a table or SQL.

    A row takes the last pair of its own name up to its time, or else the first within `database.lateness` after it.
    Without times, the one that all pairs of its name have; where they name several, its customer is unknown.
    """

    table: Text | None = None
    """Table or view in the order database, optionally `schema.table`."""
    sql: Text | None = None
    """A SELECT instead of a table; its columns are named by the keys below."""
    unit: Text = "unit"
    """Column with what the router assigns: the cookie's value, a header, the address."""
    known_as: Text = "known_as"
    """Column with the name by which the events' `unit` knows the same customer: an account, a guest's token."""
    source: Name | None = None
    """Entry of `database.sources` in which the pairs are. For events of other sources they are held in memory, the
    newest million, and need a `time`."""
    time: Text | None = None
    """Column with the time of the pair (a login, a checkout), in the zone of the events' times."""
    time_unit: TimeUnit | None = None
    """Unit of `time` where it is a number since 1970."""


@section
class Replica:
    """A read replica, when the database named by the URL is one."""

    max_lag: PositivePatience = 10
    """Beyond this the verdict is blind."""


@section
class Primary:
    """Where the primary of a read replica is, so that both can be held against each other."""

    url: DatabaseUrl | None = None
    """SQLAlchemy URL without a password; relative SQLite paths start at the policy file's folder."""
    url_file: Text | None = None
    """File holding the URL, when it contains a password."""
    url_env: EnvironmentName | None = None
    """Environment variable holding the URL."""
    password_file: Text | None = None
    """File holding only the password, added to `url`."""
    password_env: EnvironmentName | None = None
    """Environment variable holding only the password."""
    interval: Annotated[float, lasting(10, 86400)] = 300
    """How often they are compared while a rollout runs."""
    rows: Annotated[int, Field(ge=100, le=100_000)] = 1_000
    """So many of the newest rows of each event are read at each look, from either."""


@section
class Consistency:
    """How the rows of stable and canary are held against each other while a rollout runs."""

    enabled: bool = True
    """Without it, only `canary check --data` compares them."""
    interval: Annotated[float, lasting(10, 86400)] = 120
    """How often they are looked at."""
    rows: Annotated[int, Field(ge=100, le=100_000)] = 5_000
    """So many of the newest rows of each event are read at each look, none from before the rollout."""
    ignore: tuple[Text, ...] = ()
    """What the canary does otherwise on purpose, as `EVENT.COLUMN` of the alert: `orders.cart_id`."""


@section
class RequiredColumns:
    """Columns that both versions need although no KPI reads them."""

    table: Text
    columns: Annotated[tuple[Text, ...], Field(min_length=1)]


@section
class Exclude:
    """Customers who are nobody's customers: staff, monitors, testers whom a header takes to the canary."""

    units: tuple[Text, ...] = ()
    """Their units, as the events' `unit` columns write them."""


@section
class Database:
    """The shop's order database."""

    url: DatabaseUrl | None = None
    """SQLAlchemy URL without a password; relative SQLite paths start at the policy file's folder."""
    url_file: Text | None = None
    """File holding the URL, when it contains a password."""
    url_env: EnvironmentName | None = None
    """Environment variable holding the URL."""
    password_file: Text | None = None
    """File holding only the password, added to `url`."""
    password_env: EnvironmentName | None = None
    """Environment variable holding only the password."""
    sources: dict[Name, Source] = field(default_factory=dict)
    """By a name of yours, further databases that have events (`source`)."""
    events: dict[Name, Event] = field(default_factory=lambda: dict(DEFAULT_EVENTS))
    """Where the events are; entries are added to the default schema's, replacing those of the same name."""
    log: RequestLog | None = None
    """The router's log, which `canary assignments` follows."""
    assignments: Assignments | None = None
    """Which version each unit was served by, for events without a `version` column."""
    identities: dict[Name, Identities] = field(default_factory=dict)
    """By a name of yours, pairs that join what the router chooses by (a cookie) to what the rows know (an account)."""
    exclude: Exclude = Exclude()
    """Rows of these customers, and rows of the same database that descend from theirs, count nowhere: in no counter, no
    published KPI and no judgement. In ClickHouse only rows that name the customer themselves are left out."""
    window: PositiveSeconds = 3600
    """The published KPIs cover each version's units of this trailing window."""
    since: Seconds = 30 * 86400
    """Counters count rows since this long before the first start."""
    refresh: Interval = 1
    """How often new rows are read."""
    lateness: Lateness = 120
    """How long after its time a row may still appear or change; older buckets are closed."""
    reconcile: Annotated[float, lasting(0.01, 7 * 86400)] = 3600
    """How often the whole ledger is compared with the table."""
    statement_timeout: Annotated[float, lasting(0.01, 3600)] = 5
    """The database cancels a statement of ours that takes longer."""
    timezone: TimeZone = "UTC"
    """Time zone of times stored without one."""
    replica: Replica | None = None
    """Say `{}` or more when the URL names a read replica."""
    primary: Primary | None = None
    """The primary of that replica: rows that the replica lacks, although its lag says none, are looked for."""
    consistency: Consistency = Consistency()
    """Whether orders without payment, amounts that differ, rows of nothing and empty columns are counted by version."""
    required: tuple[RequiredColumns, ...] = ()
    """Tables and columns that must stay during a rollout, besides the mapped ones."""
    max_currencies: Annotated[int, Field(ge=0, le=1000)] = 10
    """Further currencies are counted as `other`."""

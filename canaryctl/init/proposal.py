"""From the tables of an unknown order database to a proposed mapping: which table holds which event, by their names.

The last resort, for shops of no known platform (`canaryctl.init.platform`). Names are taken by whole words, and what
would be guessed wrongly is left out rather than guessed: a time that changes later is no time of an event, and a status
is a success only when every word of it says so.

Pure: `canary init` reads the tables, shows the proposal with sampled rows, asks, and writes the policy.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from canary.policy.kpis import DEFAULT_KPIS, events_of


@dataclass(frozen=True)
class Column:
    """One column as the database describes it.

    Attributes:
        kind: `time`, `number` or `text`.
        references: the table that a foreign key points to.
        unit: what a time counts that is a number; None for one that the database knows as a time.
    """

    name: str
    kind: str
    references: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Source:
    """One table or view as the database describes it."""

    name: str
    columns: tuple[Column, ...]
    key: str | None = None
    """The primary key, when it is one column."""

    def of_kind(self, kind: str) -> list[str]:
        """Names of the columns of one kind."""
        return [column.name for column in self.columns if column.kind == kind]


@dataclass(frozen=True)
class Proposed:
    """The mapping of one event, keys as in `database.events`; a version of None is one that no column says."""

    event: str
    table: str
    keys: Mapping[str, object] = field(default_factory=dict)


_EVENTS = {
    "visits": ("visit", "session", "visitor", "pageview"),
    "carts": ("cart", "basket"),
    "checkouts": ("checkout",),
    "orders": ("order", "purchase", "sale"),
    "payments": ("payment", "transaction", "charge"),
    "feedback": ("feedback", "review", "rating", "survey"),
}
"""Words by which tables of each event are called, best first, in the singular."""

_TIME = ("created_at", "created", "created_on", "placed_at", "started_at", "inserted_at", "timestamp", "time", "date")
_MUTABLE = frozenset(
    {
        "updated", "update", "upd", "modified", "modify", "changed", "edited", "last", "expire", "expired", "expires",
        "deleted", "invoice", "delivery", "shipped", "settled", "paid", "completed", "ended",
    }
)  # fmt: skip
"""Words in the name of a time that is not when the row came to be: it changes, or lies ahead, or comes later."""
_VERSION = ("version", "app_version", "shop_version", "release", "build", "deployment", "variant")
_VALUE = {
    "orders": ("total", "grand_total", "total_price", "total_amount", "amount", "price", "value"),
    "payments": ("amount", "total", "value"),
    "feedback": ("score", "rating", "stars", "value", "points"),
}
_CURRENCY = ("currency", "currency_code")
_OUTCOME = ("status", "state", "outcome", "result")
_SETTLED = ("settled_at", "completed_at", "captured_at", "paid_at", "finished_at")
"""No time that every later change of the row moves: a payment that is touched again would be settled again."""
_CUSTOMER = (
    "visitor_id", "user_id", "customer_id", "visitor", "customer", "guest_token", "ip_address", "remote_ip",
    "customer_ip", "ip",
)  # fmt: skip
_UNITS = {
    "carts": ("visits",),
    "checkouts": ("visits",),
    "orders": ("visits", "carts", "checkouts"),
    "payments": ("orders", "carts", "visits"),
    "feedback": ("orders", "visits"),
}
_NEUTRAL = frozenset({"payment", "order", "transaction", "charge", "card", "status", "state", "is", "wc"})
"""Words that say nothing about how a payment ended."""
_SUCCEEDED = frozenset(
    {
        "succeeded", "success", "successful", "paid", "captured", "settled", "completed", "complete", "approved", "ok",
        "authorized", "authorised", "done",
    }
)  # fmt: skip
_FAILED = frozenset({"failed", "failure", "declined", "error", "refused", "rejected", "denied"})
_NOT_COUNTED = _FAILED | {
    "cancelled",
    "canceled",
    "void",
    "voided",
    "test",
    "draft",
    "trash",
    "deleted",
    "cart",
    "expired",
}
"""States of an order that is none: it was taken back, never placed, or nobody's."""


def propose(sources: Sequence[Source]) -> list[Proposed]:
    """The events that the tables seem to hold. An event is left out when no table or no time column fits."""
    chosen = {event: best for event, words in _EVENTS.items() if (best := _table(words, sources)) is not None}
    carts = chosen.get("carts")
    if "checkouts" not in chosen and carts is not None and _checkout_time(carts):
        chosen["checkouts"] = carts
    # What has no time is no event, and so nobody's parent.
    times = {event: time for event in chosen if (time := _event_time(event, chosen)) is not None}
    chosen = {event: chosen[event] for event in times}
    return [
        Proposed(event, chosen[event].name, _keys(event, times[event], chosen)) for event in _EVENTS if event in times
    ]


def outcomes(values: Iterable[str]) -> tuple[list[str], list[str]]:
    """Which of a status column's values mean success and which failure; of the others nobody knows.

    A value is taken by all of its words: `unpaid` and `not_paid` are no success although a part of them is.
    """
    listed = sorted(set(values))
    return [value for value in listed if _means(value, _SUCCEEDED)], [
        value for value in listed if _means(value, _FAILED)
    ]


def excluded(values: Iterable[str]) -> list[str]:
    """Which of an order status column's values mean that the order does not count."""
    return sorted({value for value in values if _means(value, _NOT_COUNTED)})


def _means(value: str, words: frozenset[str]) -> bool:
    said = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W_a-zA-Z]+", value)]
    telling = [word for word in said if word not in _NEUTRAL]
    return bool(telling) and all(word in words for word in telling)


def judgeable(proposed: Sequence[Proposed]) -> list[str]:
    """The strategy's KPIs for which every event, value and outcome was found."""
    known = {one.event: one for one in proposed}
    found = []
    for name, kpi in DEFAULT_KPIS.items():
        needs = {"mean": "value", "success": "outcome"}.get(kpi.kind)
        if all(event in known for event in events_of(kpi)) and (
            needs in known[events_of(kpi)[0]].keys if needs else _linked(known[events_of(kpi)[1]], events_of(kpi)[0])
        ):
            found.append(name)
    return found


def _linked(event: Proposed, unit: str) -> bool:
    parent = event.keys.get("parent")
    return isinstance(parent, Mapping) and unit in parent


def _words(name: str) -> list[str]:
    """`shop.CustomerOrders` -> customer, order."""
    pieces = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name.rpartition(".")[2])
    return [_singular(piece.lower()) for piece in pieces]


def _singular(word: str) -> str:
    return word if word.endswith("ss") else word.removesuffix("s")


def _table(words: Sequence[str], sources: Sequence[Source]) -> Source | None:
    """The table whose name ends with the best of the words, the shortest name first."""
    for word in words:
        fitting = [source for source in sources if _words(source.name)[-1:] == [_singular(word)]]
        if fitting:
            return min(fitting, key=lambda source: (len(source.name), source.name))
    return None


def _pick(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first wanted name there is, else a name that ends with one."""
    lowered = {spelled(name): name for name in names}
    exact = [lowered[word] for word in wanted if word in lowered]
    near = [name for word in wanted for name in names if spelled(name).endswith(f"_{word}")]
    # What the shop reckons in (`base_currency_code`) is not what the customer paid in.
    near = [name for name in near if not spelled(name).startswith(("base_", "global_", "store_", "entity_"))]
    return next(iter([*exact, *near]), None)


def _checkout_time(carts: Source) -> str | None:
    return next((name for name in carts.of_kind("time") if "checkout" in name.lower()), None)


def spelled(name: str) -> str:
    """A name in small letters with its words apart: `createdAt` and `Created_At` are `created_at`."""
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _event_time(event: str, chosen: Mapping[str, Source]) -> str | None:
    """The column that says when an event's rows came to be; None when there is none to order them by."""
    source = chosen[event]
    if event == "checkouts" and source is chosen.get("carts"):
        return _checkout_time(source)
    times = [name for name in source.of_kind("time") if not _MUTABLE & set(_words(name))]
    return _pick(times, _TIME) or next(iter(times), None)


def _keys(event: str, time: str, chosen: Mapping[str, Source]) -> dict[str, object]:
    """The event's keys in the policy."""
    source = chosen[event]
    everything = [column.name for column in source.columns]
    keys: dict[str, object] = {"id": source.key or _pick(everything, ("id", "uuid")) or everything[0], "time": time}
    # A number next to the row counts its edits (Medusa's `order.version`), and is no version of the shop.
    if unit := next(column.unit for column in source.columns if column.name == time):
        keys["time_unit"] = unit
    keys["version"] = _pick(source.of_kind("text"), _VERSION)
    parents = {
        unit: column for unit in _UNITS.get(event, ()) if unit in chosen and (column := _parent(source, chosen[unit]))
    }
    if parents:
        keys["parent"] = parents
    elif (customer := _pick(everything, _CUSTOMER)) is not None:  # what comes from another row is that one's customer's
        keys["unit"] = customer
    if event in _VALUE and (value := _pick(source.of_kind("number"), _VALUE[event])):
        keys["value"] = value
    if event == "orders" and (currency := _pick(everything, _CURRENCY)):
        keys["currency"] = currency
    if event == "payments" and (outcome := _pick(source.of_kind("text"), _OUTCOME)):
        keys["outcome"] = outcome
        others = [one.name for one in source.columns if one.kind == "time" and one.unit == unit and one.name != time]
        if settled := _pick(others, _SETTLED):
            keys["settled"] = settled
    return keys


def _parent(source: Source, unit: Source) -> str | None:
    """The column that names the unit: a foreign key to its table, else one called after it."""
    for column in source.columns:
        if column.references == unit.name:
            return column.name
    word = _words(unit.name)[-1]
    names = {spelled(column.name): column.name for column in source.columns}
    return names.get(f"{word}_id") or names.get(f"{word}id") or names.get(f"{word}_uuid")

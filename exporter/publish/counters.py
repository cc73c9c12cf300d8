"""The published counters: they start at 0, follow the ledger upwards, and never fall.

Prometheus reads a small fall as a reset and a huge rate. So when rows vanish, a counter waits until the ledger has
caught up with it; the wait is counted.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from canary import names
from canary.policy.orders import Event
from exporter.ledger.ledger import MILLION, Key, Tally
from exporter.source.streams import OUTCOMES

MAX_VERSIONS = 10
"""Versions with series of their own, besides those of the running rollout; older ones are counted as `other`."""


class Series(NamedTuple):
    """One counter's labels; an empty text stands for a label that the metric does not have."""

    metric: str
    version: str
    label: str


@dataclass
class Counters:
    """All counters of the exporter.

    Attributes:
        values: what is published, in whole rows or in millionths of value.
        corrections: how often rows vanished from under a counter, by event.
    """

    max_currencies: int
    values: dict[Series, int] = field(default_factory=dict)
    corrections: dict[str, int] = field(default_factory=dict)
    _waiting: dict[Series, int] = field(default_factory=dict)
    _currencies: dict[str, set[str]] = field(default_factory=dict)

    def follow(self, event: str, mapping: Event, totals: Mapping[Key, Tally], kept: Collection[str]) -> None:
        """Take over an event's totals; versions outside *kept* go to `other`."""
        wanted: dict[Series, int] = {}
        for key, tally in totals.items():
            version = key.version if key.version in kept else names.OTHER
            for series, amount in self._series(event, mapping, key, version, tally):
                wanted[series] = wanted.get(series, 0) + amount
        for series in [series for series in self.values if self._of(event, series)]:
            if series.version not in kept and series.version != names.OTHER:
                del self.values[series]  # from now on it is part of `other`
        for series, amount in wanted.items():
            self._raise(event, series, amount)
        for series in [series for series in self.values if self._of(event, series) and series not in wanted]:
            self._raise(event, series, 0)

    def start(self, event: str, mapping: Event, versions: Iterable[str]) -> None:
        """Begin the series of versions that nothing is known of at 0, so that `rate()` sees their first rows."""
        currencies = {series.label for series in self.values if series.metric == value_total(event)}
        for version in versions:
            if mapping.outcome is None:
                self.values.setdefault(Series(names.event_total(event), version, ""), 0)
            else:
                for outcome in OUTCOMES:
                    self.values.setdefault(Series(names.event_total(event), version, outcome), 0)
            if has_value(mapping):
                for currency in currencies:
                    self.values.setdefault(Series(value_total(event), version, currency), 0)

    def in_units(self) -> dict[Series, float]:
        """What is published: whole rows, and values in their own unit."""
        return {series: in_units(series, amount) for series, amount in self.values.items()}

    def _series(self, event: str, mapping: Event, key: Key, version: str, tally: Tally) -> Iterable[tuple[Series, int]]:
        yield Series(names.event_total(event), version, key.outcome), tally.rows
        if has_value(mapping) and key.outcome != "failed":
            yield Series(value_total(event), version, self._currency(event, key.currency)), tally.millionths

    def _currency(self, event: str, currency: str) -> str:
        """The currency's label; the first ones that are seen keep theirs."""
        known = self._currencies.setdefault(event, self._published_currencies(event))
        if currency and (currency in known or len(known) < self.max_currencies):
            known.add(currency)
            return currency
        return names.OTHER

    def _published_currencies(self, event: str) -> set[str]:
        return {series.label for series in self.values if series.metric == value_total(event)} - {names.OTHER}

    def _raise(self, event: str, series: Series, amount: int) -> None:
        published = self.values.get(series, 0)
        if amount >= published:
            self.values[series] = amount
            self._waiting.pop(series, None)
            return
        if amount < self._waiting.get(series, published):
            self.corrections[event] = self.corrections.get(event, 0) + 1
        self._waiting[series] = amount

    def _of(self, event: str, series: Series) -> bool:
        return series.metric in (names.event_total(event), value_total(event))


def has_value(mapping: Event) -> bool:
    """Whether an event's values are summed; sums need a currency to mean anything."""
    return mapping.value is not None and mapping.currency is not None


def value_total(event: str) -> str:
    """The counter of an event's values: `orders` -> `shop_order_value_total`."""
    return names.event_total(f"{event.removesuffix('s')}_value")


def in_units(series: Series, amount: int) -> float:
    """What is published for an amount as it is kept."""
    return amount / MILLION if series.metric.endswith("_value_total") else float(amount)

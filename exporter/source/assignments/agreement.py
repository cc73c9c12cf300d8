"""Whether the side that rows record is the one that the router's hash gave the customer.

The judge's exact half draws the router's hash again. That is exact as long as a customer's side is what the hash said.
Where a row's version says otherwise for many (testers who are let in, requests that a server of the other version
answered after a fault, a deployment that writes the wrong version), who is on the canary is no chance any more.

Both are known where rows name their customer by the very text that the router hashes. That cannot be read from the
policy: an account stands there as well as a cookie, and is as good a unit. So it is told from the rows: where they
agree with the hash no better than chance would, the column holds something else, and nothing is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, Self

from canary.errors import RouterError
from canary.policy.model import Policy
from canary.policy.routers.kinds import router_kinds
from canary.rollout.state import Rollout
from canary.routers import routers_of
from exporter.source.assignments.routed import RoutedVersions
from exporter.source.columns.values import NO_ID, id_number

SETTLING_SECONDS: Final = 10.0
"""A new weight is at every router within this time of the decision: who came before may have met the old one."""
_LEAST = 100
"""Customers without whom nothing is said."""
_FEW = 3
"""So few who are recorded elsewhere are no fault, whatever part of the canary's customers they are."""
_MOST = 4096
"""Customers who are held against the hash: a sample by their key, as even over the rollout as it is long."""
_GOLDEN = 0x9E3779B97F4A7C15
_WORDS = 1 << 64

Seen = tuple[Any, float, str | None]
"""A row's customer as the router knows them, its moment in seconds since the epoch, its version."""


class SideAgreement:
    """Holds what rows of the event with which customers come in record against the router's hash.

    Args:
        routed: computes versions; told of nothing but the rollout here.
    """

    def __init__(self, routed: RoutedVersions) -> None:
        self._routed = routed
        self._rollout: Rollout | None = None
        self._limit = _WORDS
        self._sides: dict[int, tuple[bool, bool]] = {}
        """By customer, whether the row and whether the hash says canary."""

    @classmethod
    def of(cls, policy: Policy, entry: str | None) -> Self | None:
        """That of the event *entry*; None where its rows name no customer, or nothing but the hash tells their side."""
        event = None if entry is None else policy.database.events[entry]
        if event is None or event.unit is None or not policy.router:
            return None
        given = policy.database.assignments
        computed = given is not None and given.from_ == "router" and event.version is None and event.tag is None
        if computed or not router_kinds().usable[policy.router[0].kind].assigns:
            return None
        try:
            return cls(RoutedVersions(routers_of(policy)[0]))
        except RouterError:  # the receiver says it; counting needs no router
            return None

    def know(self, rollout: Rollout | None) -> None:
        """From now on it is about this rollout, by the weights that its journal has by now."""
        if rollout is None or self._rollout is None or rollout.id != self._rollout.id:
            self._sides, self._limit = {}, _WORDS
        self._rollout = rollout
        self._routed.know([] if rollout is None else [rollout])

    def see(self, rows: Iterable[Seen]) -> None:
        """Take in rows; those that were seen before may come again."""
        if self._rollout is None:
            return
        stable, canary = self._rollout.stable, self._rollout.canary
        for unit, moment, version in rows:
            key = id_number(unit)
            # Ids that are counted up are spread over all words first.
            if version not in (stable, canary) or key == NO_ID or (key * _GOLDEN) % _WORDS >= self._limit:
                continue
            since = moment - SETTLING_SECONDS
            if self._routed.steady(since, moment) and not self._routed.same_for_all(since, moment):
                computed = self._routed.version(unit if isinstance(unit, str | bytes) else str(unit), moment)
                if computed is not None:
                    self._sides[key] = (version == canary, computed == canary)
        while len(self._sides) > _MOST:
            self._limit //= 2
            self._sides = {key: sides for key, sides in self._sides.items() if (key * _GOLDEN) % _WORDS < self._limit}

    @property
    def apart_ratio(self) -> float | None:
        """Of the customers who are on the canary by their rows or by the hash, the part that only one of both says.

        None where too few are known, or where the column has no more to do with the hash than chance.
        """
        found = Counter(self._sides.values())
        total = found.total()
        apart, both = found[True, False] + found[False, True], found[True, True]
        if total < _LEAST or not both:
            return None
        recorded, computed = (found[True, False] + both) / total, (found[False, True] + both) / total
        by_chance = recorded * (1.0 - computed) + computed * (1.0 - recorded)
        if apart / total > by_chance / 2.0:
            return None
        return apart / (apart + both) if apart >= _FEW else 0.0

"""Which version the router gave a customer at a moment, computed instead of looked up.

The router's choice is a function of the customer, the rollout's salt and the weight in force
(`canary.routers.bucket`). All three are known afterwards, the last two from the journal. So a shop whose rows name the
customer by what the router hashes needs no table of who was served by what. No database has these hashes; it hands over
each row's customer in place of a version, and the answer is given here.

While nobody or everybody is on the canary the version is the same for all, and then rows that name no customer have one
too. What the journal cannot know is not known here: testers, and customers whose cookie the shop did not keep.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from canary.errors import RouterError
from canary.policy.routers.slots import Slot
from canary.rollout.state import Rollout, State
from canary.routers.base import Router, Split
from exporter.source.assignments.timedkeys import split_key
from exporter.source.columns.zones import Zone

LEFT_OUT: Final = "\n"
"""In place of a version: the customer is a tester or a machine, whom no chance has put there, and the row counts
nowhere. No version can be called so."""


class UnitVersions(Protocol):
    """Tells versions of customers."""

    def version(self, unit: str | bytes | None, moment: float) -> str | None:
        """The version that served a customer at *moment*, seconds since the epoch; None where it is not known,
        `LEFT_OUT` where the row is to count nowhere.
        """
        ...

    def same_for_all(self, low: float, high: float) -> bool:
        """Whether between two moments everybody has one version, or none, all the time."""
        ...

    def steady(self, low: float, high: float) -> bool:
        """Whether between two moments nobody's version changes."""
        ...


class Pairs(Protocol):
    """Tells customers' other name, by which the router knows them (`exporter.source.assignments.identities`)."""

    def unit(self, known_as: Any, moment: float) -> str | None:
        """The router's name of a customer at *moment*; None where it is not known, `LEFT_OUT` who is left out."""
        ...


def version_of(
    told: UnitVersions | None, key: Any, stored: Any, zone: Zone, clock_zone: Zone, pairs: Mapping[str | None, Pairs]
) -> str | None:
    """The version that a key tells, at the time that it brings along or else its row's.

    Args:
        key: what a statement gave in place of a version (`exporter.source.assignments.versions`).
        stored: the row's time as the database has it.
        zone: that of the row's times.
        clock_zone: that of times which are no instants.
        pairs: by identity, those that no statement can look up.
    """
    if told is None or stored is None:
        return None
    identity = None
    if isinstance(key, str):
        told_at, instant, identity, key = split_key(key)
        if told_at is not None:
            stored, zone = told_at, clock_zone.of(instants=instant)
    at = zone.moment(float(stored))
    if identity in pairs:
        key = pairs[identity].unit(key, at)
        if key == LEFT_OUT:
            return LEFT_OUT
    return told.version(key, at)


_BACK = frozenset({State.ROLLING_BACK, State.ROLLED_BACK, State.FAILED})
"""After these a weight of 0 means the old version; after a promotion it means that the new one has moved."""


@dataclass(frozen=True, slots=True)
class Served:
    """What ran on the servers that answered a request.

    Attributes:
        canary: whether they had the canary's role then.
        version: theirs; None where no rollout was ever started.
    """

    canary: bool
    version: str | None


@dataclass(frozen=True)
class _Stretch:
    """What was in force from a moment on, until the next one."""

    since: float
    rollout: Rollout
    ratio: float


class RoutedVersions:
    """Versions by the journal of one router's rollouts; it knows nothing before the first `know`.

    Args:
        router: None where only `served` is asked.
    """

    def __init__(self, router: Router | None) -> None:
        self._router = router
        self._stretches: list[_Stretch] = []
        self._since: list[float] = []

    def know(self, rollouts: Iterable[Rollout]) -> None:
        """Take over what the journal says of all rollouts."""
        found = [stretch for rollout in rollouts for stretch in _stretches(rollout)]
        self._stretches = sorted(found, key=lambda stretch: stretch.since)
        self._since = [stretch.since for stretch in self._stretches]

    def version(self, unit: str | bytes | None, moment: float) -> str | None:
        """The version that served a customer at *moment*, seconds since the epoch; None where it is not known."""
        if not self._stretches:
            return None
        at = bisect_right(self._since, moment) - 1
        if at < 0:  # before the first rollout everybody was on what it began with
            return self._stretches[0].rollout.stable
        stretch = self._stretches[at]
        if stretch.ratio in (0.0, 1.0):
            return stretch.rollout.canary if stretch.ratio else stretch.rollout.stable
        if unit is None or self._router is None:
            return None
        user = unit if isinstance(unit, str) else bytes(unit).decode("utf-8", "surrogateescape")
        try:
            split = Split(stretch.rollout.id, stretch.ratio, stable_slot=stretch.rollout.first_stable_slot)
            chosen = self._router.is_canary(user, split)
        except RouterError:
            return None
        return stretch.rollout.canary if chosen else stretch.rollout.stable

    def served(self, *, canary: bool, moment: float) -> str | None:
        """The version that ran on one side's servers at *moment*; None where no rollout was ever started.

        Once everybody was on the canary and stayed there, the other servers are brought to its version too.
        """
        if not self._stretches:
            return None
        at = bisect_right(self._since, moment) - 1
        if at < 0:
            return self._stretches[0].rollout.stable
        stretch = self._stretches[at]
        return stretch.rollout.canary if canary or stretch.ratio >= 1.0 else stretch.rollout.stable

    def served_by(self, slot: Slot, moment: float) -> Served:
        """What ran on one of two slots at *moment*: which role it had is what the rollout of that time began with.

        Before the first one slot a is stable. Nothing is ever deployed to the slot that everybody has left until the
        next rollout begins, so that each slot keeps its version until then.
        """
        if not self._stretches:
            return Served(slot == "b", None)
        at = bisect_right(self._since, moment) - 1
        rollout = self._stretches[max(at, 0)].rollout
        canary = slot != (rollout.first_stable_slot or "a")
        return Served(canary, rollout.canary if canary and at >= 0 else rollout.stable)

    def same_for_all(self, low: float, high: float) -> bool:
        """Whether between two moments one version served everybody, all the time."""
        if not self._stretches:
            return True
        first, last = bisect_right(self._since, low) - 1, bisect_right(self._since, high) - 1
        return first == last and (first < 0 or self._stretches[first].ratio in (0.0, 1.0))

    def steady(self, low: float, high: float) -> bool:
        """Whether no weight changes between two moments."""
        return bisect_right(self._since, low) == bisect_right(self._since, high)


class TaggedVersions:
    """Versions of the sides that the router's tag names (`canary.routers.tag`)."""

    def __init__(self, routed: RoutedVersions) -> None:
        self._routed = routed

    def version(self, unit: str | bytes | None, moment: float) -> str | None:
        """The version that ran on a side, `stable` or `canary`; None where the tag names none."""
        if unit is None:
            return None
        side = unit if isinstance(unit, str) else bytes(unit).decode("ascii", "replace")
        return self._routed.served(canary=side == "canary", moment=moment)

    def same_for_all(self, _low: float, _high: float) -> bool:
        """Never: rows without a tag have no version."""
        return False

    def steady(self, low: float, high: float) -> bool:
        """Whether no weight changes between two moments."""
        return self._routed.steady(low, high)


def _stretches(rollout: Rollout) -> Iterable[_Stretch]:
    ended = rollout.state not in _BACK and max((weight.ratio for weight in rollout.weights), default=0.0) >= 1.0
    promoted = False
    for weight in rollout.weights:
        promoted = promoted or (ended and weight.ratio >= 1.0)
        yield _Stretch(weight.since.timestamp(), rollout, 1.0 if promoted else weight.ratio)

"""Which version the router gave a customer at a moment, computed instead of looked up.

The router's choice is a function of the customer, the rollout's salt and the weight in force
(`canary.routers.bucket`). All three are known afterwards, the last two from the journal. So a shop whose rows name the
customer by what the router hashes needs no table of who was served by what. No database has these hashes; it hands over
each row's customer in place of a version, and the answer is given here.

While nobody or everybody is on the canary the version is the same for all, and then rows that name no customer have one
too. What the journal cannot know is not known here: testers, and customers whose cookie the shop did not keep.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from canary.errors import RouterError
from canary.rollout.state import Rollout, State
from canary.routers.base import Router, Split


class UnitVersions(Protocol):
    """Tells versions of customers."""

    def version(self, unit: str | bytes | None, moment: float) -> str | None:
        """The version that served a customer at *moment*, seconds since the epoch; None where it is not known."""
        ...

    def same_for_all(self, low: float, high: float) -> bool:
        """Whether between two moments everybody has one version, or none, all the time."""
        ...


_BACK = frozenset({State.ROLLING_BACK, State.ROLLED_BACK, State.FAILED})
"""After these a weight of 0 means the old version; after a promotion it means that the new one has moved."""


@dataclass(frozen=True)
class _Stretch:
    """What was in force from a moment on, until the next one."""

    since: float
    rollout: Rollout
    ratio: float


class RoutedVersions:
    """Versions by the journal of one router's rollouts; it knows nothing before the first `know`."""

    def __init__(self, router: Router) -> None:
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
        if unit is None:
            return None
        user = unit if isinstance(unit, str) else bytes(unit).decode("utf-8", "surrogateescape")
        try:
            chosen = self._router.is_canary(user, Split(stretch.rollout.id, stretch.ratio))
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

    def same_for_all(self, low: float, high: float) -> bool:
        """Whether between two moments one version served everybody, all the time."""
        if not self._stretches:
            return True
        first, last = bisect_right(self._since, low) - 1, bisect_right(self._since, high) - 1
        return first == last and (first < 0 or self._stretches[first].ratio in (0.0, 1.0))


def _stretches(rollout: Rollout) -> Iterable[_Stretch]:
    ended = rollout.state not in _BACK and max((weight.ratio for weight in rollout.weights), default=0.0) >= 1.0
    promoted = False
    for weight in rollout.weights:
        promoted = promoted or (ended and weight.ratio >= 1.0)
        yield _Stretch(weight.since.timestamp(), rollout, 1.0 if promoted else weight.ratio)

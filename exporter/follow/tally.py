"""Requests into assignments and visits: pure, one batch after the other.

An assignment is the time during which a customer was served by one version: a new one begins whenever another version
answers. A visit begins with a customer's first request after 30 minutes without one, the definition of web analytics,
and has the version of its first request. `repeated_at` is the moment of its second request, and NULL before: a visitor
who asks once and never again is often a robot that keeps no cookie, so who counts visits by that column counts them
apart; the column never changes once it is set, so that a counter never goes down.

Requests of nobody make neither. Testers and known crawlers make no visit, and their assignments are marked: the shop's
rows of theirs count nowhere while the mark is in force. Where people and a crawler share an address, they are people.
What a customer had before this process began is asked of the store
(`Memory`); of those who are not seen for long nothing stays in memory.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from exporter.follow.lines import Request
from exporter.source.assignments.routed import Served

VISIT_SECONDS = 1800
"""Between two visits at least."""
_REMEMBERED = 200_000
"""Customers in memory; of all others the store is asked."""


@dataclass(slots=True)
class Assignment:
    """Who was served by which version, from when until when; *left_out* where no chance had put them there."""

    id: int
    unit: str
    version: str | None
    canary: bool
    first_at: float
    last_at: float
    left_out: bool = False


@dataclass(slots=True)
class Visit:
    """A customer's requests without a pause of 30 minutes."""

    id: int
    unit: str
    version: str | None
    canary: bool
    started_at: float
    repeated_at: float | None
    last_at: float
    requests: int
    errors: int


@dataclass(slots=True)
class Customer:
    """The last assignment and visit of a customer."""

    assignment: Assignment | None = None
    visit: Visit | None = None


@dataclass
class Changes:
    """What a batch has made or changed."""

    assignments: dict[int, Assignment] = field(default_factory=dict)
    visits: dict[int, Visit] = field(default_factory=dict)


class Tally:
    """The customers who were seen lately.

    Args:
        next_assignment, next_visit: ids that are free, with all that are greater.
    """

    def __init__(self, next_assignment: int, next_visit: int) -> None:
        self._next_assignment, self._next_visit = next_assignment, next_visit
        self._customers: OrderedDict[str, Customer] = OrderedDict()

    def unknown(self, units: Iterable[str]) -> Collection[str]:
        """Those of whom the store has to be asked."""
        return {unit for unit in units if unit not in self._customers}

    def remember(self, customers: Mapping[str, Customer]) -> None:
        """Take over what the store says."""
        self._customers.update(customers)

    def take(self, unit: str, served: Served, request: Request, changes: Changes) -> None:
        """Count one request of a customer's that a server has answered."""
        customer = self._customers.setdefault(unit, Customer())
        self._customers.move_to_end(unit)
        canary, version = served.canary, served.version
        given = customer.assignment
        if request.robot and given is not None and not given.left_out:
            return
        # A long request may be logged after a shorter one that began later.
        late = given is not None and request.at < given.first_at
        if given is None or (not late and _differs(given, served, request)):
            given = Assignment(self._next_assignment, unit, version, canary, request.at, request.at, request.left_out)
            self._next_assignment += 1
            customer.assignment = given
        given.last_at = max(given.last_at, request.at)
        changes.assignments[given.id] = given
        if request.left_out:
            return
        visit = customer.visit
        if visit is None or request.at - visit.last_at >= VISIT_SECONDS:
            visit = Visit(self._next_visit, unit, version, canary, request.at, None, request.at, 0, 0)
            self._next_visit += 1
            customer.visit = visit
        elif visit.repeated_at is None:
            visit.repeated_at = max(visit.started_at, request.at)
        visit.last_at = max(visit.last_at, request.at)
        visit.requests += 1
        visit.errors += request.status >= 500
        changes.visits[visit.id] = visit

    def forget(self) -> None:
        """Keep the memory bounded; only between batches, when the store has everything."""
        while len(self._customers) > _REMEMBERED:
            self._customers.popitem(last=False)

    def healed(self, stable: str) -> None:
        """Rows that had no version, as there was no rollout yet, were of the first one's stable version."""
        for customer in self._customers.values():
            for row in (customer.assignment, customer.visit):
                if row is not None and row.version is None:
                    row.version = stable


def _differs(given: Assignment, served: Served, request: Request) -> bool:
    return (given.left_out, given.canary, given.version) != (request.left_out, served.canary, served.version)

"""Requests into assignments and visits."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from exporter.follow.lines import Request
from exporter.follow.tally import VISIT_SECONDS, Assignment, Changes, Tally, Visit
from exporter.source.assignments.routed import Served


def _taken(*requests: tuple[float, bool]) -> tuple[list[Assignment], list[Visit]]:
    tally, changes = Tally(1, 1), Changes()
    for at, canary in requests:
        request = Request(at, "u", "canary" if canary else "stable", 200, 0.1, "/", False)
        tally.take("u", Served(canary, "v2" if canary else "v1"), request, changes)
    return list(changes.assignments.values()), list(changes.visits.values())


def test_a_visit_ends_after_thirty_minutes() -> None:
    """A pause of thirty minutes begins another visit, a shorter one does not."""
    _, visits = _taken((0, False), (VISIT_SECONDS - 1, False), (2 * VISIT_SECONDS - 1, False))

    assert [(one.started_at, one.requests, one.repeated_at) for one in visits] == [
        (0, 2, VISIT_SECONDS - 1),
        (2 * VISIT_SECONDS - 1, 1, None),
    ]


def test_each_change_of_version_is_an_assignment() -> None:
    """To the canary and back again are three; the visit keeps the version that it began with."""
    assignments, visits = _taken((0, False), (10, True), (20, True), (30, False))

    assert [(one.version, one.first_at, one.last_at) for one in assignments] == [
        ("v1", 0, 0), ("v2", 10, 20), ("v1", 30, 30),
    ]  # fmt: skip
    assert [one.version for one in visits] == ["v1"]


def test_a_line_that_comes_late_changes_nobody_back() -> None:
    """A long request to the old version, logged after the new one's first, is no change of version."""
    assignments, _ = _taken((0, False), (10, True), (9, False), (11, True))

    assert [one.version for one in assignments] == ["v1", "v2"]


def test_testers_and_machines_make_no_visit_and_are_marked() -> None:
    """A tester's time on the canary is marked and ends; a crawler behind an address of people changes nothing of it."""
    tally, changes = Tally(1, 1), Changes()
    for at, kind in enumerate(("robot", "", "robot", "tester", "")):
        tester = kind == "tester"
        request = Request(at, "u", "canary" if tester else "stable", 200, 0.1, "/", kind == "robot", tester)
        tally.take("u", Served(tester, "v2" if tester else "v1"), request, changes)

    assert [(one.version, one.left_out, one.first_at) for one in changes.assignments.values()] == [
        ("v1", True, 0), ("v1", False, 1), ("v2", True, 3), ("v1", False, 4),
    ]  # fmt: skip
    assert [one.requests for one in changes.visits.values()] == [2]


@given(st.lists(st.tuples(st.floats(0, 1e5), st.booleans()), max_size=60))
def test_every_request_is_in_one_visit(requests: list[tuple[float, bool]]) -> None:
    """Visits hold all requests, each once, and never overlap in their order."""
    assignments, visits = _taken(*sorted(requests))

    assert sum(one.requests for one in visits) == len(requests)
    assert all(one.started_at <= one.last_at for one in visits)
    assert all(later.started_at - one.last_at >= VISIT_SECONDS for one, later in itertools.pairwise(visits))
    assert all(one.canary != later.canary for one, later in itertools.pairwise(assignments))

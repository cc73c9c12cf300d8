"""Which streams each event has, in which order, and what is no time."""

from dataclasses import replace

import pytest

from canary.errors import DatabaseSchemaError
from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.model import Policy
from exporter.source.columns.kinds import Kind
from exporter.source.dialects import Dialect
from exporter.source.streams import Stream, streams_of

POLICY = Policy(service="shop")


def streams(policy: Policy = POLICY, dialect: str = "sqlite") -> dict[str, list[Stream]]:
    """The policy's streams by event."""
    found: dict[str, list[Stream]] = {}
    for stream in streams_of(policy, Dialect(dialect)):
        found.setdefault(stream.event, []).append(stream)
    return found


def test_parents_come_before_what_descends_from_them() -> None:
    """A refresh never sees an order before its visit, in whatever order the policy names them."""
    events = dict(reversed(DEFAULT_EVENTS.items()))
    found = list(streams(replace(POLICY, database=replace(POLICY.database, events=events))))

    assert set(found) == set(events)
    for name, event in events.items():
        parents = [parent for parent in (event.parent or {}) if parent in found]
        assert all(found.index(parent) < found.index(name) for parent in parents)


def test_an_event_without_an_outcome_has_one_stream() -> None:
    """By its own time, for as long as rows may be late."""
    (visits,) = streams()["visits"]

    assert (visits.kind, visits.name, visits.counted, visits.fresh) == ("rows", "visits", True, True)
    assert visits.horizon_seconds == POLICY.database.lateness


def test_rows_without_a_final_outcome_are_known_and_not_counted() -> None:
    """Settled facts by the time at which they became final; those that may still change for as long as they may."""
    kinds = {stream.kind: stream for stream in streams()["payments"]}

    assert list(kinds) == ["settled", "unsettled", "pending"]
    assert [kind for kind, stream in kinds.items() if stream.counted] == ["settled", "unsettled"]
    assert kinds["settled"].horizon_seconds == POLICY.database.lateness
    assert kinds["unsettled"].horizon_seconds >= POLICY.evidence.pending_timeout
    assert kinds["pending"].horizon_seconds > kinds["unsettled"].horizon_seconds


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_fitted_twice_is_fitted_once(dialect: str) -> None:
    """Statements are made from the policy anew each time, so that careful ones can be taken back."""
    (visits,) = streams(dialect=dialect)["visits"]
    careful = visits.fit({}, True)
    quick = careful.fit({}, False)

    assert str(quick.fine) == str(visits.fine)
    assert (quick.event, quick.kind) == (visits.event, visits.kind)


@pytest.mark.parametrize(
    ("dialect", "kind", "remedy"),
    [
        ("mariadb", Kind.NUMBER, "time_unit: seconds"),
        ("postgresql", Kind.BOOLEAN, "SELECT"),
        ("postgresql", Kind.TEXT, "SELECT"),
        ("mariadb", Kind.OTHER, "SELECT"),
    ],
)
def test_a_column_that_is_no_time_is_refused_with_what_to_write(dialect: str, kind: Kind, remedy: str) -> None:
    """Before anything is counted by it."""
    (visits,) = streams(dialect=dialect)["visits"]

    with pytest.raises(DatabaseSchemaError, match=rf"database.events.visits.time.*{remedy}"):
        visits.fit({"created_at": kind}, False)
    assert visits.fit({"created_at": Kind.INSTANT}, False).instants

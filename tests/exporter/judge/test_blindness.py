"""A KPI is relied on only while everything that it is made of is fresh."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.policy.database.section import Replica
from canary.policy.kpis import Conversion, Kpi, Mean, Success, events_of
from canary.policy.model import Policy
from exporter.judge.blindness import blind_kpis, clock_kpis, unjoined_kpis
from tests.support.databases.exporting import policy_for

NOW = 1_000_000.0
POLICY = policy_for("sqlite:///shop.db")
EVENTS = tuple(POLICY.database.events)


def _feeds(refreshed: dict[str, float | None]) -> Any:
    return [
        SimpleNamespace(stream=SimpleNamespace(event=event), refreshed_at=at) for event, at in refreshed.items()
    ]  # only what the question needs of a feed


@given(ages=st.dictionaries(st.sampled_from(EVENTS), st.one_of(st.none(), st.floats(0, 1000))))
def test_a_kpi_is_blind_exactly_when_one_of_its_events_is_stale_or_unknown(ages: dict[str, float | None]) -> None:
    """Never read, read too long ago, or not read at all: each alone is enough, and nothing else blinds."""
    feeds = _feeds({event: None if age is None else NOW - age for event, age in ages.items()})
    limit = POLICY.evidence.staleness

    found = blind_kpis(POLICY, feeds, NOW, None, schema_broken=False)

    fresh = {event for event, age in ages.items() if age is not None and age <= limit}
    assert set(found) == {name for name, kpi in POLICY.kpis.items() if not set(events_of(kpi)) <= fresh}
    assert set(found.values()) <= {"database"}


def test_the_stream_that_is_oldest_counts() -> None:
    """An event with several streams is as fresh as the one of them that was read longest ago."""
    feeds = _feeds(dict.fromkeys(EVENTS, NOW)) + _feeds({"payments": NOW - 10_000})

    assert "payment_success_rate" in blind_kpis(POLICY, feeds, NOW, None, schema_broken=False)


def test_a_changed_schema_is_named_as_the_reason() -> None:
    """Whoever is told that data are missing is told what to look at."""
    found = blind_kpis(POLICY, [], NOW, None, schema_broken=True)

    assert found == dict.fromkeys(POLICY.kpis, "schema")


@given(lag=st.floats(0, 100))
def test_a_replica_too_far_behind_blinds_everything(lag: float) -> None:
    """Fresh reads of a replica that lags are old data; within the limit they are not."""
    policy: Policy = replace(POLICY, database=replace(POLICY.database, replica=Replica(max_lag=30)))

    found = blind_kpis(policy, _feeds(dict.fromkeys(EVENTS, NOW)), NOW, lag, schema_broken=False)

    assert found == (dict.fromkeys(policy.kpis, "replica") if lag > 30 else {})


def test_limits_are_the_last_that_is_relied_on() -> None:
    """Data exactly as old as the policy allows are seen, of the shop's own database and of a replica."""
    policy: Policy = replace(POLICY, database=replace(POLICY.database, replica=Replica(max_lag=30)))
    feeds = _feeds(dict.fromkeys(EVENTS, NOW - policy.evidence.staleness))

    assert blind_kpis(policy, feeds, NOW, 30, schema_broken=False) == {}


def test_a_replica_that_does_not_say_how_far_behind_it_is_blinds_nothing_by_itself() -> None:
    """Its rows are judged by their age alone then, as those of any other database."""
    policy: Policy = replace(POLICY, database=replace(POLICY.database, replica=Replica(max_lag=30)))

    assert blind_kpis(policy, _feeds(dict.fromkeys(EVENTS, NOW)), NOW, None, schema_broken=False) == {}


@pytest.mark.parametrize("broken", [-10_000.0, None])
@pytest.mark.parametrize("first", [True, False])
def test_one_stream_that_is_not_read_blinds_its_event_wherever_it_is_listed(broken: float | None, first: bool) -> None:
    """Streams of one event are read one after another; none of them can vouch for another one."""
    old = _feeds({"payments": None if broken is None else NOW + broken})
    fresh = _feeds(dict.fromkeys(EVENTS, NOW))

    found = blind_kpis(POLICY, old + fresh if first else fresh + old, NOW, None, schema_broken=False)

    assert set(found) == {name for name, kpi in POLICY.kpis.items() if "payments" in events_of(kpi)}


@pytest.mark.parametrize(
    ("ahead", "blind"),
    [(-121, True), (-120, False), (-119, False), (0, False), (599, False), (600, False), (601, True)],
)
def test_a_clock_blinds_as_soon_as_rows_are_missed(ahead: float, blind: bool) -> None:
    """Behind by more than is looked back, or ahead by more than is waited for: then, and not before."""
    assert clock_kpis(POLICY, ahead) == (dict.fromkeys(POLICY.kpis, "clock") if blind else {})


CONVERSION = Conversion(kind="conversion", from_="visits", to="orders")
CHECKOUT = Mean(kind="mean", of="orders", since="carts")


@pytest.mark.parametrize(
    ("kpi", "joins"),
    [
        (CONVERSION, ("visits", "orders")),
        (CHECKOUT, ("carts", "orders")),
        (Mean(kind="mean", of="orders"), None),
        (Success(kind="success", of="payments"), None),
    ],
)
def test_a_kpi_is_blind_while_its_own_join_finds_nothing(kpi: Kpi, joins: tuple[str, str] | None) -> None:
    """A join that never found anything blinds what it is for, and no KPI that joins other rows or none."""
    every = (("visits", "orders"), ("carts", "orders"))
    for unjoined in every:
        rows: Any = SimpleNamespace(unjoined=lambda units, by, none=unjoined: (units, by) == none)

        assert unjoined_kpis({"rate": kpi}, rows) == ({"rate": "join"} if joins == unjoined else {})

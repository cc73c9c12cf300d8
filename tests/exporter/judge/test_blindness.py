"""A KPI is relied on only while everything that it is made of is fresh."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from canary.policy.database.section import Replica
from canary.policy.kpis import events_of
from canary.policy.model import Policy
from exporter.judge.blindness import blind_kpis
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

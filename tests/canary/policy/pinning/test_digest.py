"""A policy's digest tells what decides, whatever the text looks like; and what is pinned is read back as it was."""

import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from canary.policy.load import load_policy
from canary.policy.model import Policy
from canary.policy.pinning.digest import deciding, digest
from canary.policy.pinning.pinned import mapped_as, pinned
from scripts.golden import ROOT

STRATEGY = (ROOT / "canary.yaml").read_text(encoding="utf-8")


def policy(folder: Path, text: str) -> Policy:
    """The policy that a text describes."""
    path = folder / "canary.yaml"
    path.write_text(text, encoding="utf-8")
    return load_policy(path)


def _text(value: object, depth: int = 0) -> str:
    """JSON, which is YAML, with the keys in the order that they are given in."""
    return json.dumps(value, indent=depth or None)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_spelling_makes_no_difference(tmp_path: Path, data: st.DataObject) -> None:
    """Formatting, the order of keys, and equal spellings of a duration or a share give the same digest."""
    seconds = data.draw(st.integers(60, 7200))
    percent = data.draw(st.integers(1, 99))
    durations = (f"{seconds}s", f"{seconds * 1000}ms", f"{seconds // 60}m{seconds % 60}s", f"{seconds}.0s")
    shares = (f"{percent}%", percent / 100, f"{percent}.0 %")

    def written() -> Policy:
        sections = {
            "service": "shop",
            "evidence": {"alpha": "1%", "staleness": data.draw(st.sampled_from(("120s", "2m")))},
            "phases": [
                {"duration": data.draw(st.sampled_from(durations)), "traffic": data.draw(st.sampled_from(shares))},
                {"traffic": "100%", "duration": "5m"},
            ],
            "rollback": data.draw(st.sampled_from(({}, {"automatic": True}, {"watch": "48h"}))),
        }
        keys = data.draw(st.permutations(list(sections)))
        return policy(tmp_path, _text({key: sections[key] for key in keys}, data.draw(st.integers(0, 4))))

    assert digest(written()) == digest(written())


@pytest.mark.parametrize(
    ("change", "to", "differs"),
    [
        ("tolerance: 5%", "tolerance: 6%", True),
        ("duration: 15m", "duration: 16m", True),
        ("error_rate: 10%", "error_rate: 9%", True),
        ("automatic: true", "automatic: false", True),
        ("alpha: 1%", "alpha: 2%", True),
        ("  refresh: 1s", "  timezone: Asia/Karachi", True),
        ("service: sastabazar", "service: sastabazar\nplans: {hotfix: [{traffic: 100%, duration: 5m}]}", True),
        ("url: sqlite:///shop.db ", "url: sqlite:///other.db ", False),
        ("refresh: 1s", "refresh: 2s", False),
        ("secrets/operator-token", "secrets/another-token", False),
        ('10.0.1.11:5000"]', '10.0.1.12:5000", "10.0.1.11:5000"]', False),
        ("secrets/notify-urls", "secrets/other-urls", False),
        ("  requests: http_requests_total", "  shop_targets: [10.0.1.20:5000]", False),
    ],
)
def test_what_decides_is_covered_and_nothing_else(tmp_path: Path, change: str, to: str, *, differs: bool) -> None:
    """A changed limit, plan or mapping is another policy; another address, secret or pace is the same one."""
    assert change in STRATEGY

    changed = policy(tmp_path, STRATEGY.replace(change, to, 1))

    assert (digest(changed) != digest(policy(tmp_path, STRATEGY))) is differs


def test_an_empty_signals_section_is_another_policy(tmp_path: Path) -> None:
    """It switches the alerts about errors and response times on; what is pinned says whether they were."""
    without, empty = policy(tmp_path, "service: s\n"), policy(tmp_path, "service: s\nsignals: {}\n")

    assert digest(without) != digest(empty)
    assert digest(pinned(empty, json.loads(json.dumps(deciding(without))))) == digest(without)


def test_normal_is_one_plan_wherever_it_stands(tmp_path: Path) -> None:
    """`phases` and `plans.normal` are two spellings of one plan."""
    phases = "[{traffic: 5%, duration: 5m}, {traffic: 100%, duration: 5m}]"
    one, other = (
        policy(tmp_path, f"service: s\n{key}") for key in (f"phases: {phases}", f"plans: {{normal: {phases}}}")
    )

    assert one == other


def test_what_is_pinned_is_in_force_again(tmp_path: Path) -> None:
    """What decides comes from the pinned policy, with every number as it was; addresses come from the file."""
    begun = policy(tmp_path, STRATEGY)
    later = policy(
        tmp_path,
        STRATEGY.replace("tolerance: 5%", "tolerance: 20%")
        .replace("- {traffic: 50%, duration: 20m}", "- {traffic: 40%, duration: 1m}\n  - {traffic: 50%, duration: 1s}")
        .replace("10.0.1.20:5000", "10.0.1.99:5000")
        .replace("  requests: http_requests_total", "  shop_targets: [10.0.1.9:80]"),
    )

    ran = pinned(later, json.loads(json.dumps(deciding(begun))))

    assert digest(ran) == digest(begun) != digest(later)
    assert (ran.kpis, ran.phases, ran.evidence) == (begun.kpis, begun.phases, begun.evidence)
    assert ran.router == later.router != begun.router
    assert ran.signals.shop_targets == ("10.0.1.9:80",)


def test_a_column_of_segments_that_an_earlier_version_pinned_is_read(tmp_path: Path) -> None:
    """It stood in the event, and stands in the KPI by now: the rollout keeps its limits, and its digest."""
    begun = policy(tmp_path, STRATEGY)
    data = json.loads(json.dumps(deciding(begun)))
    for name, event in data["database"]["events"].items():
        event["segment"] = "provider" if name == "payments" else None
    later = policy(tmp_path, STRATEGY.replace("tolerance: 5%", "tolerance: 20%"))

    ran = pinned(later, data)

    assert digest(ran) == digest(begun) != digest(later)
    assert ran.kpis == begun.kpis


def test_the_order_database_is_what_it_is_now(tmp_path: Path) -> None:
    """An exporter keeps the mapping of its file, and the events that only the pinned KPIs need."""
    begun = policy(tmp_path, STRATEGY)
    own = policy(
        tmp_path,
        "service: s\nkpis: {k: {kind: conversion, from: visits, to: orders}}\n"
        "database: {events: {visits: {table: hits}, orders: {table: orders, parent: visit_id}}}",
    )

    ran = mapped_as(pinned(own, deciding(begun)), own)

    assert ran.database.events["visits"].table == "hits"
    assert {"payments", "feedback"} <= ran.database.events.keys()
    assert digest(ran) != digest(begun)

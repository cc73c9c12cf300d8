"""Sections of a policy that must fit one another."""

from pathlib import Path

import pytest

from canary.errors import PolicyError
from canary.policy import load_policy


def faults(tmp_path: Path, text: str) -> list[str]:
    """The faults of a policy file with this text after the service's name."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\n" + text, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kpis: {x: {kind: mean, of: vists}}", "kpis.x.of: no event 'vists' in database.events; known are carts"),
        ("kpis: {x: {kind: conversion, from: vists, to: orders}}", "kpis.x.from: no event 'vists'"),
        ("kpis: {x: {kind: success, of: orders}}", "add database.events.orders.outcome"),
        ("kpis: {x: {kind: mean, of: visits}}", "add database.events.visits.value"),
        (
            "kpis: {x: {kind: conversion, from: payments, to: orders}}",
            "'orders' does not say which of 'payments' it comes from; add database.events.orders.parent.payments",
        ),
        ("database: {events: {x: {table: a, sql: SELECT 1}}}", "database.events.x: needs either `table` or `sql`"),
        ("database: {events: {x: {}}}", "database.events.x: needs either `table` or `sql`"),
        ("database: {timezone: Mars/Olympus}", "no time zone 'Mars/Olympus'; write one such as Asia/Karachi"),
        ("database: {refresh: 0s}", "database.refresh: must be more than 0s"),
        (
            "router: {kind: nginx}\nphases: [{traffic: 0.5%, duration: 1m}, {traffic: 100%, duration: 1m}]",
            "phases.0.traffic: router 'nginx' (nginx) divides in whole percents; write one, or use haproxy",
        ),
        ("phases: []", "phases: at least one phase is needed"),
        ("phases: [{traffic: 0%, duration: 1m}, {traffic: 100%, duration: 1m}]", "must be more than 0%"),
        ("phases: [{traffic: 50%, duration: 1m}]", "the last phase must have 100%"),
        (
            "phases: [{traffic: 50%, duration: 1m}, {traffic: 5%, duration: 1m}, {traffic: 100%, duration: 1m}]",
            "phases.1.traffic: must be more than the phase before has; customers are only added",
        ),
        ("phases: [{traffic: 100%, duration: 0s}]", "phases.0.duration: must be more than 0s"),
        (
            "phases: [{traffic: 100%, duration: 5m, max_duration: 1m}]",
            "phases.0.max_duration: must not be shorter than `duration`",
        ),
        ("router: [{kind: nginx}, {kind: nginx}]", "two routers are named 'nginx'"),
        ("router: {kind: nginx, testers: {networks: [10.0.0.0/99]}}", "not an address range"),
        ("router: {kind: nginx, testers: {header: X-Tester}}", "expected `Name: value`"),
        ("router: {kind: nginx, testers: {cookie: tester}}", "expected `name=value`"),
        ("flags: {f: {default: red}}", "flags.f.default: no variant 'red'; known are off, on"),
        ("experiments: {e: {variants: {control: {weight: 1}}}}", "needs at least two variants"),
        (
            "experiments: {e: {variants: {control: {weight: 1}, b: {weight: 1}}, metrics: [conversion_rate]}}",
            "no row of 'visits' tells which variant a customer had; give each variant a `version`, or map the column",
        ),
        (
            "experiments: {e: {variants: {control: {weight: 1}, b: {weight: 1}}, guardrails: [payment_success_rate]}}",
            "map the column that holds it: database.events.payments.variant",
        ),
        (
            'experiments: {e: {variants: {control: {weight: 1, version: "1"}, b: {weight: 1}}}}',
            "experiments.e.variants: give every variant a `version`, or none",
        ),
        (
            'experiments: {e: {variants: {control: {weight: 1, version: "1"}, b: {weight: 1, version: "1"}}}}',
            "two variants have the same `version`",
        ),
        (
            "experiments: {e: {flag: f, variants: &two {control: {weight: 1}, b: {weight: 1}}}, f: {variants: *two}}",
            "experiments.f: experiment 'e' assigns the users of flag 'f' too; give one a `flag` of its own",
        ),
        (
            "flags: {e: {percentage: 5%}}\nexperiments: {e: {variants: {control: {weight: 1}, b: {weight: 1}}}}",
            "flags.e: experiment 'e' assigns its users; leave out percentage, groups and follow_rollout",
        ),
        (
            "flags: {f: {percentage: 5%, follow_rollout: true}}",
            "flags.f.percentage: follows the rollout's weight already; leave it out",
        ),
        (
            "experiments: {e: {control: c, variants: {a: {weight: 1}, b: {weight: 1}}, metrics: [sales]}}",
            "experiments.e.control: no variant 'c'",
        ),
        ("signals: {alerts: {CanaryHighErrorRat: {enabled: false}}}", "no alert has this name"),
        ("notify: {on: [party]}", "no occasion 'party'; known are start, advance"),
        ("evidence: {alpha: 0%}", "evidence.alpha: must be between 0% and 100%"),
    ],
)
def test_a_contradiction_names_both_sides(tmp_path: Path, text: str, expected: str) -> None:
    """What contradicts another section is a fault on the line where it stands."""
    found = faults(tmp_path, text + "\n")

    assert any(expected in line for line in found), found
    assert all(line.startswith("canary.yaml:") for line in found)


def test_one_policy_may_contradict_itself_in_many_places(tmp_path: Path) -> None:
    """Contradictions are collected, not reported one at a time."""
    found = faults(tmp_path, "kpis:\n  x: {kind: mean, of: a}\n  y: {kind: mean, of: b}\nphases: []\n")

    assert [line.split(": ")[1] for line in found] == ["kpis.x.of", "kpis.y.of", "phases"]

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
    return [str(fault) for fault in caught.value.faults]


_ELSEWHERE = """\
kpis: {c: {kind: conversion, from: v, to: o}}
database:
  sources: {x: {url: 'sqlite:///x.db'}}
  events: {v: {table: v, source: x}, o: {table: o, source: x, parent: {v: v}}}
  """


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("evidence: {staleness: 1s}", "evidence.staleness: must be longer than `database.refresh`"),
        ("kpis: {orders: {kind: mean, of: orders}}", "its series shop_orders collides with the counter of 'orders'"),
        ("kpis: {orders_total: {kind: mean, of: orders}}", "kpis.orders_total: its series shop_orders_total collides"),
        ("kpis: {order_value: {kind: mean, of: orders}}", "shop_order_value collides with the counter of 'orders'"),
        (
            "database: {events: {order_value: {table: t}}}",
            "database.events.order_value: its counter shop_order_value_total is that of 'orders'",
        ),
        ("kpis: {x: {kind: conversion, from: orders, to: orders}}", "every 'orders' would be its own conversion"),
        ("kpis: {x: {kind: mean, of: orders, tolerance: 100%}}", "a mean cannot fall by more than 100%"),
        (
            "kpis: {x: {kind: success, of: payments, by: a}, y: {kind: success, of: payments, by: b}}",
            "KPIs of 'payments' look at two columns, 'a' and 'b'",
        ),
        (
            "kpis: {x: {kind: success, of: payments, by: a, judge: threshold}}",
            "a windowed threshold knows no segments",
        ),
        (
            "kpis: {x: {kind: conversion, from: carts, to: orders, complement: true, by: a}}",
            "a complement is shown as one minus the rate",
        ),
        (
            "database: {events: {carts: {table: carts, parent: {vists: visit_id}}}}",
            "database.events.carts.parent.vists: no event 'vists' in database.events; did you mean 'visits'?",
        ),
        (
            "database: {events: {payments: {table: p, outcome: o, failed: [no], pending: [no]}}}",
            "database.events.payments.pending: 'no' is a failure as well",
        ),
        ("database: {assignments: {unit: u}}", "database.assignments: needs either `table`, `sql` or `from`"),
        ("database: {assignments: {from: router}}", "database.assignments.from: there is no `router` whose choice"),
        (
            "database: {events: {payments: {table: p, outcome: o, failed: [no, succeeded]}}}",
            "database.events.payments.failed: 'succeeded' is a success as well",
        ),
        (
            "router: {kind: haproxy, slots: {a: ['s:1'], b: ['s:1']}}",
            "router.slots.b: s:1 is in slot a as well; give each slot its own servers",
        ),
        (
            "router: {kind: haproxy, slots: {a: ['s:1'], b: ['s:2']}, upstreams: {stable: ['s:1']}}",
            "router.upstreams: says which servers are the canary's, and with `slots` that changes",
        ),
        (
            "router: {kind: haproxy, write_map: false, slots: {a: ['s:1'], b: ['s:2']}}",
            "router.write_map: with `slots` a restart of HAProxy must find the stable slot",
        ),
        (
            "router: {kind: nginx, slots: {a: ['s:1'], b: ['s:2']}}",
            "router.directories.0: /run/kpi-canary/nginx is emptied at every boot",
        ),
        (
            "router: [{kind: haproxy, slots: {a: ['s:1'], b: ['s:2']}}, {kind: traefik}]",
            "router.1: another router has `slots`, and this one has fixed roles",
        ),
        (
            "router: {kind: haproxy, slots: {a: ['s:1'], b: ['s:2']}}\nprocess: {kind: pm2, name: shop}",
            "process.name: is the same for both slots: a rollback would stop the process of whichever is stable",
        ),
        (
            "router: {kind: haproxy, slots: {a: ['s:1'], b: ['s:2']}}\nprocess: {deploy_stable: [deploy]}",
            "process.deploy_stable: with `router.slots` nothing is deployed to finish a release",
        ),
        (
            "router: {kind: haproxy, slots: {a: ['s:1'], b: ['s:2']}}\nsignals: {preset: haproxy}",
            "signals.preset: HAProxy's own series know slots",
        ),
        (
            "process: {kind: pm2, name: 'shop-{slot}'}",
            "process.name: {slot} stands for a slot, and no router has `slots`",
        ),
        ("signals: {window: 5s}", "signals.window: must hold at least 2 scrapes"),
        ("signals: {window: 10m}", "signals.long_window: must not be shorter than `window`"),
        ("signals: {status_label: version}", "must be three labels"),
        (
            "signals: {preset: haproxy, query_duration: db_query_seconds}",
            "signals.query_duration: is read of the shop's own series, and `preset: haproxy` reads others",
        ),
        ("signals: {preset: haproxy, canary_backend: stable}", "signals.canary_backend: is stable's backend too"),
        (
            "signals: {alerts: {CanaryHighErrorRate: {labels: {service: other}}}}",
            "signals.alerts.CanaryHighErrorRate.labels.service: the receiver knows the alert by this label",
        ),
        ("signals: {alerts: {CanaryBlind: {labels: {action: none}}}}", "use the key `action` next to `labels`"),
        (
            "router: {kind: haproxy}\nphases: [{traffic: 0.015%, duration: 1m}, {traffic: 100%, duration: 1m}]",
            "router 'haproxy' (haproxy) divides in hundredths of a percent; round it",
        ),
        (
            'router: {kind: nginx, upstreams: {stable: ["a:1", "b:1"], canary: ["b:1"]}}',
            "router.upstreams.canary: b:1 serves stable as well",
        ),
        ("process: {kind: command, start: [a]}", "process.stop: is required with `kind: command`"),
        (
            "kpis: {x: {kind: mean, of: vists}}",
            "kpis.x.of: no event 'vists' in database.events; did you mean 'visits'?",
        ),
        ("kpis: {x: {kind: conversion, from: vists, to: orders}}", "kpis.x.from: no event 'vists'"),
        ("kpis: {x: {kind: success, of: orders}}", "add database.events.orders.outcome"),
        ("kpis: {x: {kind: mean, of: visits}}", "add database.events.visits.value"),
        (
            "kpis: {x: {kind: conversion, from: payments, to: orders}}",
            (
                "'orders' does not say which of 'payments' it comes from; add database.events.orders.parent.payments,"
                " or the `unit` (the customer) of both"
            ),
        ),
        ("database: {sources: {x: {timezone: UTC}}}", "needs one of `url`, `urls`, `url_file` and `url_env`"),
        (f"{_ELSEWHERE}replica: {{}}", "no event is read from there"),
        (f"{_ELSEWHERE}required: [{{table: t, columns: [a]}}]", "no event is read from there"),
        (
            f"{_ELSEWHERE}replica: {{}}\n  primary: {{url: 'sqlite:///p.db'}}",
            "database.primary: is about the database that",
        ),
        ("database: {replica: {}, primary: {}}", "database.primary: needs one of `url`, `url_file` and `url_env`"),
        ("database: {primary: {url: 'sqlite:///p.db'}}", "`database.url` is not called one; add `replica: {}`"),
        ("database: {events: {x: {table: a, source: tills}}}", "no entry 'tills' in database.sources"),
        (
            (
                "database: {sources: {s: {urls: ['sqlite:///1.db']}}, events: {x: {table: a, source: s},"
                " y: {table: b, parent: {x: x_id}}}}"
            ),
            "each shard of 's' has ids of its own, and a row of another source does not say of which",
        ),
        (
            (
                "database: {sources: {s: {url: 'sqlite:///1.db'}}, identities: {p: {table: l}},"
                " events: {x: {table: a, source: s, unit: u, identity: p}}}"
            ),
            "'p' is in another database, and its pairs are read from there by their `time`",
        ),
        ("database: {events: {x: {table: a, unit: u, identity: p}}}", "no entry 'p' in database.identities"),
        ("database: {events: {x: {table: a, sql: SELECT 1}}}", "database.events.x: needs either `table` or `sql`"),
        ("database: {events: {x: {}}}", "database.events.x: needs either `table` or `sql`"),
        ("database: {timezone: Mars/Olympus}", "no time zone 'Mars/Olympus'; write one such as Asia/Karachi"),
        ("database: {refresh: 0s}", "database.refresh: expected a duration from 10ms to 1h, found '0s'"),
        (
            "router: {kind: nginx}\nphases: [{traffic: 0.5%, duration: 1m}, {traffic: 100%, duration: 1m}]",
            "phases.0.traffic: router 'nginx' (nginx) divides in whole percents; write one, or use haproxy",
        ),
        ("phases: []", "phases: needs at least one entry"),
        (
            "phases: [{traffic: 0%, duration: 1m}, {traffic: 100%, duration: 1m}]",
            "phases.0.gate: with 0%, only testers see the canary",
        ),
        ("phases: [{traffic: 50%, duration: 1m}]", "the last phase must have 100%"),
        (
            "phases: [{traffic: 50%, duration: 1m}, {traffic: 5%, duration: 1m}, {traffic: 100%, duration: 1m}]",
            "phases.1.traffic: must be more than the phase before has; customers are only added",
        ),
        (
            "phases: [{traffic: 100%, duration: 0s}]",
            "phases.0.duration: expected a duration from 1ms to 3660d, found '0s'",
        ),
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
        (
            "signals: {alerts: {CanaryHighErrorRat: {enabled: false}}}",
            "no alert 'CanaryHighErrorRat'; did you mean 'CanaryHighErrorRate'?",
        ),
        (
            "notify: {on: [party]}",
            "notify.on.0: expected 'start', 'advance', 'hold', 'blind', 'rollback' or 'promotion', found 'party'",
        ),
        ("database: {log: {keep: 30d}}", "database.log: names no way in; write `file`, `udp` or `socket`"),
        ("signals: {preset: log}", "signals.preset: there is no `database.log` whose requests could be counted"),
        ("database: {assignments: {from: log}}", "assignments.from: there is no `database.log` that would be followed"),
        ("evidence: {alpha: 0%}", "evidence.alpha: expected a percentage from 0.0001% to 50%, found '0%'"),
    ],
)
def test_a_contradiction_names_both_sides(tmp_path: Path, text: str, expected: str) -> None:
    """What contradicts another section is a fault on the line where it stands."""
    found = faults(tmp_path, text + "\n")

    assert any(expected in line for line in found), found
    assert all(line.startswith("canary.yaml:") for line in found)


def test_one_policy_may_contradict_itself_in_many_places(tmp_path: Path) -> None:
    """Contradictions are collected, not reported one at a time."""
    found = faults(tmp_path, "kpis:\n  x: {kind: mean, of: a}\n  y: {kind: mean, of: b}\nflags: {f: {default: red}}\n")

    assert [line.split(": ")[1] for line in found] == ["kpis.x.of", "kpis.y.of", "flags.f.default"]

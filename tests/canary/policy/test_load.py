"""The policy's one edge: what it accepts, and how it says what it refuses."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import PolicyError
from canary.policy import load_policy
from canary.policy.gates import UrlGate
from canary.policy.kpis import Conversion, Success
from canary.policy.routers.sections import HaproxyRouter

ROOT = Path(__file__).resolve().parents[3]


def faults(tmp_path: Path, text: str) -> list[str]:
    """The faults of a policy file with this text."""
    path = tmp_path / "canary.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    return [str(fault) for fault in caught.value.faults]


def test_the_strategy_document_stands_in_the_root_policy() -> None:
    """The repository's policy carries the strategy's phases, limits and tolerances."""
    policy = load_policy(ROOT / "canary.yaml")

    assert [(phase.traffic, phase.duration) for phase in policy.phases] == [
        (0.05, 300), (0.25, 900), (0.5, 1200), (1.0, 1800),
    ]  # fmt: skip
    critical, warning, info = policy.signals.critical, policy.signals.warning, policy.signals.info
    assert (critical.error_rate, critical.response_time, critical.memory) == (0.1, 10, 0.95)
    assert (warning.error_rate, warning.response_time) == (0.05, 5)
    assert (info.error_rate, info.response_time, info.cpu, info.memory) == (0.05, 2, 0.8, 0.8)
    payments = policy.kpis["payment_success_rate"]
    assert isinstance(payments, Success)
    assert (payments.tolerance, payments.floor, payments.target, payments.action) == (0.05, 0.9, 0.95, "rollback")
    conversion = policy.kpis["conversion_rate"]
    assert isinstance(conversion, Conversion)
    assert (conversion.from_, conversion.to, conversion.tolerance) == ("visits", "orders", 0.1)
    assert policy.rollback.watch == 48 * 3600


def test_one_line_is_a_policy(tmp_path: Path) -> None:
    """Everything but the service's name has a default, the strategy's six KPIs among them."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\n", encoding="utf-8")

    policy = load_policy(path)

    assert sorted(policy.kpis) == [
        "average_order_value", "cart_abandonment_rate", "checkout_completion_rate", "conversion_rate",
        "customer_satisfaction", "payment_success_rate",
    ]  # fmt: skip
    assert set(policy.database.events) == {"visits", "carts", "checkouts", "orders", "payments", "feedback"}
    assert policy.base == str(tmp_path)


def test_a_single_router_needs_no_list(tmp_path: Path) -> None:
    """`router:` takes one router as a section or several as a list."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\nrouter: {kind: haproxy, map: /m}\n", encoding="utf-8")

    router = load_policy(path).router

    assert len(router) == 1
    assert isinstance(router[0], HaproxyRouter)
    assert router[0].map == "/m"


def test_an_event_of_ones_own_joins_the_default_schema(tmp_path: Path) -> None:
    """An entry under database.events is added to the default events, or replaces the one of its name."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: shop\ndatabase:\n  events:\n    returns: {table: returns, parent: order_id}\n", "utf-8")

    events = load_policy(path).database.events

    assert events["returns"].table == "returns"
    assert events["orders"].table == "orders"


def test_signals_of_the_routers_log_need_no_names(tmp_path: Path) -> None:
    """With `preset: log` series and labels are those that `canary assignments` serves, of this service alone."""
    path = tmp_path / "canary.yaml"
    path.write_text("service: s\ndatabase: {log: {file: a.log}}\nsignals: {preset: log}\n", encoding="utf-8")

    signals = load_policy(path).signals

    assert (signals.requests, signals.selector) == ("canary_log_requests_total", 'service="s"')
    assert (signals.version_label, signals.connection_errors) == ("version", "")


def test_a_gate_is_a_person_or_a_url(tmp_path: Path) -> None:
    """A phase's gate is `manual` or a section with a URL."""
    path = tmp_path / "canary.yaml"
    gates = "gate: manual}\n  - {traffic: 100%, duration: 5m, gate: {url: 'http://127.0.0.1:1/ok'}}\n"
    path.write_text(f"service: shop\nphases:\n  - {{traffic: 5%, duration: 5m, {gates}", encoding="utf-8")

    first, second = load_policy(path).phases

    assert first.gate == "manual"
    assert second.gate == UrlGate(url="http://127.0.0.1:1/ok")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "kpis:\n  conversion_rate:\n    kind: conversion\n    from: visits\n    to: orders\n    tolerence: 10%\n",
            "canary.yaml:7: kpis.conversion_rate.tolerence: unknown key; did you mean 'tolerance'?",
        ),
        ("databse: {url: x}\n", "canary.yaml:2: databse: unknown key; did you mean 'database'?"),
        ("base: /\n", "canary.yaml:2: base: unknown key"),
        (
            "kpis:\n  x:\n    kind: conversoin\n    from: visits\n    to: orders\n",
            (
                "canary.yaml:4: kpis.x.kind: expected 'conversion', 'success', 'mean', found 'conversoin'; "
                "did you mean 'conversion'?"
            ),
        ),
        ("router:\n  sockets: [a]\n", "canary.yaml:2: router: needs a key `kind`"),
        (
            "router:\n  - kind: haproxy\n    sokets: [a]\n",
            "canary.yaml:4: router.0.sokets: unknown key; did you mean 'sockets'?",
        ),
        (
            "router:\n  kind: haproxy\n  sokets: [a]\n",
            "canary.yaml:4: router.sokets: unknown key; did you mean 'sockets'?",
        ),
        (
            "phases: [{traffic: 100%, duration: 5m, gate: {url: 'http://u', timout: 3s}}]\n",
            "canary.yaml:2: phases.0.gate.timout: unknown key; did you mean 'timeout'?",
        ),
        (
            "phases: [{traffic: 100%, duration: 5m, gate: manuel}]\n",
            "canary.yaml:2: phases.0.gate: expected 'manual', found 'manuel'; did you mean 'manual'?",
        ),
        (
            "phases: [{traffic: 100%, duration: 5}]\n",
            "canary.yaml:2: phases.0.duration: expected a duration such as 30s, 5m or 1h30m, found '5'",
        ),
        ("kpis:\n  Bad: {kind: mean, of: orders}\n", "the name 'Bad' does not fit ^[a-z][a-z0-9_]{0,62}$"),
        ("flags: {a/b: {percentage: 5%}}\n", "the name 'a/b' does not fit"),
        ("flags: {f: {percentage: 110%}}\n", "expected a percentage from 0% to 100%, found '110%'"),
        ("experiments: {a b: {variants: {control: {weight: 1}, b: {weight: 1}}}}\n", "the name 'a b' does not fit"),
        (
            "experiments: {e: {variants: {control: {weight: 1}, b: {weight: 0}}}}\n",
            "experiments.e.variants.b.weight",
        ),
        ("process: pm2\n", "canary.yaml:2: process: expected a section with keys, found 'pm2'"),
        ("notify: {on: start}\n", "canary.yaml:2: notify.on: expected a list, found 'start'"),
        ("rollback: {automatic: yes}\n", "rollback.automatic: expected true or false, found 'yes'"),
        (
            "experiments: {b: {variants: {control: {weight: 1, version: 1.10}}}}\n",
            'expected text, found 1.10, which YAML reads as something else; write it quoted: "1.10"',
        ),
    ],
)
def test_a_fault_names_its_line_and_a_remedy(tmp_path: Path, text: str, expected: str) -> None:
    """Each fault is one line with file, line, key, what was expected and a hint."""
    found = faults(tmp_path, "service: shop\n" + text)

    assert len(found) == 1
    assert expected in found[0]


def test_all_faults_come_at_once_in_the_files_order(tmp_path: Path) -> None:
    """A person sees every fault of the schema in one run, sorted by line."""
    found = faults(tmp_path, "service: shop\nkpi: {}\nphases: [{traffic: five, duration: 5x}]\nrouter: {kind: f5}\n")

    assert [line.split(": ")[1] for line in found] == [
        "kpi", "phases.0.traffic", "phases.0.duration", "router.kind",
    ]  # fmt: skip


def test_a_policy_of_nothing_says_what_one_looks_like(tmp_path: Path) -> None:
    """An empty file is refused with an example."""
    assert faults(tmp_path, "") == ["canary.yaml:1: expected a mapping of sections, such as `service: shop`"]


@settings(deadline=None)  # a wall time; a busy machine takes longer
@given(word=st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1, max_size=12))
def test_no_unknown_key_is_ever_let_through(word: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A top-level key that the policy does not have is always a fault that names it."""
    known = {
        "service", "state", "database", "kpis", "signals", "phases", "rollback", "router", "process", "receiver",
        "notify", "flags", "experiments", "evidence",
    }  # fmt: skip
    if word in known or word in {"true", "false", "null"}:
        return

    found = faults(tmp_path_factory.mktemp("policy"), f"service: shop\n{word}: {{}}\n")

    assert found[0].startswith(f"canary.yaml:2: {word}: unknown key")


def test_who_maps_events_gets_no_table_that_no_kpi_needs(tmp_path: Path) -> None:
    """A shop without feedback that maps its own tables and judges orders need not have the default schema's rest."""
    path = tmp_path / "canary.yaml"
    kpis = "kpis: {conversion_rate: {kind: conversion, from: visits, to: orders}}\n"
    path.write_text(f"service: shop\n{kpis}database: {{events: {{visits: {{table: sessions}}}}}}\n", encoding="utf-8")

    events = load_policy(path).database.events

    assert set(events) == {"visits", "orders"}
    assert events["visits"].table == "sessions"


@pytest.mark.parametrize("secret", ["sesame9", "ses/ame9", "ses@me9", "s'es:ame9"])
@pytest.mark.parametrize("key", ["url", "prometheus", "alertmanager"])
def test_a_faulty_address_is_quoted_without_its_password(tmp_path: Path, key: str, secret: str) -> None:
    """Faults go into logs: an address that is refused for the password in it is told without it."""
    file = tmp_path / "canary.yaml"
    file.write_text(f'service: shop\nreceiver: {{{key}: "http://guard:{secret}@127.0.0.1:9090"}}\n', encoding="utf-8")

    with pytest.raises(PolicyError) as caught:
        load_policy(file)

    assert "//***@127.0.0.1:9090" in str(caught.value)
    assert not any(part in str(caught.value) for part in ("sesame9", "ame9", "me9"))

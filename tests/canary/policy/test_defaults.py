"""One set of defaults: the model's. What repeats them for people to read says the same."""

import dataclasses
from pathlib import Path

import pytest

from canary.policy import Policy, load_policy
from canary.policy.kpis import DEFAULT_KPIS
from canaryctl.init.proposal import Column, Source, propose
from canaryctl.init.starter import Start, starter

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def bare(tmp_path: Path) -> Policy:
    """The policy of a file that only names its service."""
    path = tmp_path / "bare.yaml"
    path.write_text("service: shop\n", encoding="utf-8")
    return load_policy(path)


@pytest.mark.parametrize("router", ["haproxy", "nginx", "command", "none"])
def test_the_first_policy_of_a_shop_writes_the_defaults_out(router: str, bare: Policy, tmp_path: Path) -> None:
    """What `canary init` writes as an example is what holds without it."""
    path = tmp_path / "canary.yaml"
    path.write_text(starter(Start("shop", "sqlite:///shop.db", "", "nothing is mapped", tuple(DEFAULT_KPIS), router)))

    policy = load_policy(path)

    assert policy.kpis == bare.kpis
    assert policy.phases == bare.phases
    assert policy.signals == bare.signals
    assert policy.state == bare.state
    assert policy.database.window == bare.database.window
    assert (policy.receiver.prometheus, policy.receiver.alertmanager) == (
        bare.receiver.prometheus, bare.receiver.alertmanager,
    )  # fmt: skip


def test_the_strategys_policy_writes_the_defaults_out(bare: Policy) -> None:
    """The repository's `canary.yaml` differs from them only where the strategy document says so."""
    strategy = load_policy(ROOT / "canary.yaml")

    assert {name: kpi for name, kpi in strategy.kpis.items() if name in DEFAULT_KPIS} == bare.kpis
    for section in ("phases", "signals", "rollback", "evidence"):
        assert getattr(strategy, section) == getattr(bare, section)
    assert strategy.receiver.watchdog == bare.receiver.watchdog
    assert dataclasses.replace(strategy.database, url=None, events={}) == dataclasses.replace(bare.database, events={})


def test_the_default_schema_is_proposed_as_the_default_events(bare: Policy) -> None:
    """A database laid out as the demo's is mapped as a policy without `database.events` reads it."""
    created = Column("created_at", "time")
    visit, version = Column("visit_id", "number", "visits"), Column("version", "text")
    tables = [
        Source("visits", (Column("id", "number"), version, created), "id"),
        Source("carts", (Column("id", "number"), visit, version, created, Column("checkout_started_at", "time")), "id"),
    ]

    proposed = {one.event: one for one in propose(tables)}

    for name in ("visits", "carts", "checkouts"):
        event = bare.database.events[name]
        assert proposed[name].table == event.table
        assert proposed[name].keys["id"] == event.id
        assert proposed[name].keys["time"] == event.time
        assert proposed[name].keys["version"] == event.version

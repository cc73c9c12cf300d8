"""The receiver behind a real Prometheus and a real Alertmanager, in front of a real HAProxy."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary import names
from canary.errors import RefusedError
from canary.rollout.kinds import Kind
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus
from tests.support.receiving.chain import Chain, Places, chained
from tests.support.receiving.receiver import Setting, Team, in_state, order, receiving, router_section, status, until

_QUICK = [
    {"traffic": "5%", "duration": "1s"},
    {"traffic": "50%", "duration": "1s"},
    {"traffic": "100%", "duration": "1s"},
]
_SLOW = [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]


@pytest.fixture
def places() -> Places:
    """Where Prometheus and Alertmanager will listen."""
    return Places()


@pytest.fixture
def quick(tmp_path: Path, haproxy: HAProxy, told: dict[str, Any], places: Places) -> Setting:
    """A policy whose phases last a second."""
    changes = {"notify": told, "phases": _QUICK, "receiver": {**places.section(), "repeat": "10s"}}
    return Setting(tmp_path / "receiver", [router_section(haproxy)], changes)


@pytest.fixture
async def chain(quick: Setting, places: Places, tmp_path: Path) -> AsyncIterator[Chain]:
    """Prometheus and Alertmanager, running."""
    async with chained(quick, places, tmp_path) as running:
        yield running


async def test_a_healthy_canary_goes_all_the_way(quick: Setting, chain: Chain, haproxy: HAProxy, team: Team) -> None:
    """With both keys turned in every phase the canary is promoted, and people hear of each step."""
    async with receiving(quick):
        await order(quick, "start", canary="v2.0", stable="v1.0")
        chain.signals.complete = True
        await until(quick, "promoted", in_state("promoted"), 60)
        await eventually(lambda: "is promoted" in team.messages[-1]["title"], "people told")

    entries = await quick.journal()
    raised = [entry for entry in entries if entry.kind in (Kind.ADVANCED, Kind.PROMOTED)]
    assert [entry.actor for entry in raised] == ["alertmanager"] * 3
    gaps = [after.at - before.at for before, after in zip([entries[0], *raised], raised, strict=False)]
    assert all(gap.total_seconds() >= 1 for gap in gaps)
    assert (await haproxy.router.read()).weight_ratio == 1
    assert [message["title"] for message in team.messages] == [
        "shop: canary v2.0 starts with 5% of the customers",
        "shop: canary v2.0 advanced to 50% of customers",
        "shop: canary v2.0 advanced to 100% of customers",
        "shop: canary v2.0 is promoted",
    ]


async def test_an_alert_that_came_and_went_while_nobody_listened(
    quick: Setting, chain: Chain, haproxy: HAProxy
) -> None:
    """An alert that fired and resolved while the receiver was down is found in Prometheus' history, and rolls back."""
    async with receiving(quick):
        await order(quick, "start", canary="v2.0", stable="v1.0")
        await until(quick, "5 %", lambda now: now["settled"])
        await eventually(lambda: bool(chain.prometheus.query("canary_rollout_info")), "Prometheus knows the rollout")

    firing = 'ALERTS{alertname="CanaryHighErrorRate",alertstate="firing"}'
    chain.signals.bad = True
    await eventually(lambda: bool(chain.prometheus.query(firing)), "the alert fires")
    chain.signals.bad = False
    await eventually(lambda: not chain.prometheus.query(firing), "the alert resolves")

    async with receiving(quick):
        await until(quick, "rolled back", in_state("rolled_back"))

    (rollback,) = (entry for entry in await quick.journal() if entry.kind is Kind.ROLLBACK)
    assert rollback.data()["cause"] == "CanaryHighErrorRate"
    assert (await haproxy.router.read()).weight_ratio == 0


async def test_a_hotfix_stays_guarded_by_the_policy_that_it_began_with(
    tmp_path: Path, haproxy: HAProxy, told: dict[str, Any], places: Places
) -> None:
    """By a plan of its own, jumped to all customers; the file is edited and reloaded meanwhile, and the harm that shows
    then rolls it back all the same."""
    changes = {"notify": told, "phases": _QUICK, "plans": {"hotfix": _SLOW}, "receiver": places.section()}
    setting = Setting(tmp_path / "receiver", [router_section(haproxy)], changes)
    async with chained(setting, places, tmp_path) as chain, receiving(setting) as receiver:
        await order(setting, "start", canary="v2.0", stable="v1.0", plan="hotfix")
        await until(setting, "5 %", lambda now: now["settled"])
        await eventually(lambda: bool(chain.prometheus.query("canary_rollout_info")), "Prometheus knows the rollout")
        await order(setting, "advance", to=1.0)
        await until(setting, "everybody", lambda now: now["settled"] and now["rollout"]["state"] == "baking")
        policy = yaml.safe_load(setting.policy_file.read_text())
        edited = {"rollback": {"dry_run": True, "automatic": False}, "plans": {"hotfix": _QUICK}}
        setting.policy_file.write_text(yaml.safe_dump(policy | edited))
        await receiver.reload(setting.policy_file)
        chain.signals.bad = True
        await until(setting, "rolled back", in_state("rolled_back"))

    entries = await setting.journal()
    (rollback,) = (entry for entry in entries if entry.kind is Kind.ROLLBACK)
    assert rollback.data()["cause"] == "CanaryHighErrorRate"
    assert Kind.PROMOTED not in [entry.kind for entry in entries]
    assert Kind.POLICY in [entry.kind for entry in entries]
    assert (await haproxy.router.read()).weight_ratio == 0


async def test_a_hold_ends_when_its_cause_is_gone(quick: Setting, chain: Chain) -> None:
    """A hold alert freezes the share; when Prometheus shows nothing wrong any more, the rollout goes on to its end."""
    async with receiving(quick):
        await order(quick, "start", canary="v2.0", stable="v1.0")
        chain.signals.blind = True
        await until(quick, "held", in_state("holding"))
        chain.signals.blind, chain.signals.complete = False, True
        await until(quick, "promoted", in_state("promoted"), 60)

    kinds = [entry.kind for entry in await quick.journal()]
    assert kinds.index(Kind.HELD) < kinds.index(Kind.RESUMED) < kinds.index(Kind.ADVANCED)


async def test_a_prometheus_without_the_rules_lifts_nothing_and_agrees_to_nothing(
    tmp_path: Path, haproxy: HAProxy, told: dict[str, Any], places: Places
) -> None:
    """The rules are evaluated by another server than the policy names: a hold stays, and a person must insist."""
    with Prometheus() as without_rules:
        section = {**places.section(), "prometheus": without_rules.url, "repeat": "10s"}
        setting = Setting(
            tmp_path / "receiver", [router_section(haproxy)], {"notify": told, "phases": _SLOW, "receiver": section}
        )
        async with chained(setting, places, tmp_path) as chain, receiving(setting) as receiver:
            await order(setting, "start", canary="v2.0", stable="v1.0")
            chain.signals.blind = True
            await until(setting, "held", in_state("holding"))
            for _ in range(6):
                await receiver.poller.look()
            now = await status(setting)
            assert now["rollout"]["state"] == "holding"
            assert "answers, but does not evaluate the rules of service shop" in now["prometheus"]["error"]
            for verb in ("advance", "promote"):
                with pytest.raises(RefusedError, match=rf"cannot {verb}: .*CanaryWatchdog is not among.*--force"):
                    await order(setting, verb)
            assert await order(setting, "promote", force=True)

    assert Kind.RESUMED not in [entry.kind for entry in await setting.journal()]


async def test_the_heartbeat_is_heard(quick: Setting, chain: Chain) -> None:
    """The watchdog alert reaches the receiver through Alertmanager."""
    async with receiving(quick):
        await until(quick, "heard", lambda now: now["watchdog"]["heard_at"] is not None)


async def test_two_alertmanagers_that_both_tell(quick: Setting, places: Places, tmp_path: Path, team: Team) -> None:
    """When a pair of Alertmanagers is parted, both send every alert; the rollback is done once."""
    async with chained(quick, places, tmp_path, pair=True) as chain, receiving(quick) as receiver:
        await order(quick, "start", canary="v2.0", stable="v1.0")
        chain.signals.bad = True
        await until(quick, "told", lambda now: "notify" in now["rollout"]["steps"])

        def both_came() -> bool:
            counted = [
                sample.value
                for family in receiver.metrics.registry.collect()
                for sample in family.samples
                if sample.name == names.WEBHOOK_ALERTS_TOTAL and sample.labels["action"] == "rollback"
            ]
            return sum(counted) >= 2

        await eventually(both_came, "both Alertmanagers have told")

    kinds = [entry.kind for entry in await quick.journal()]
    assert kinds.count(Kind.ROLLBACK) == kinds.count(Kind.ROLLED_BACK) == 1
    assert quick.stopped() == 1
    assert sum("was rolled back" in message["title"] for message in team.messages) == 1

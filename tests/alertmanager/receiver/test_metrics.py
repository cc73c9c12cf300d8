"""What the receiver says about itself."""

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from canary import names
from canary.mixin.limits import gate_of, limits
from tests.support.programs.haproxy import HAProxy
from tests.support.receiving.receiver import Setting, alert, in_state, order, payload, post, receiving, status, until

# What the contract names, besides what appears only in trouble.
ALWAYS = {
    names.ROLLOUT_INFO, names.ROLLOUT_STATE, names.ROLLOUT_PHASE, names.ROLLOUT_STARTED_TIMESTAMP_SECONDS,
    names.ROLLOUT_PHASE_STARTED_TIMESTAMP_SECONDS, names.ROLLOUT_PHASE_DURATION_SECONDS, names.ROLLOUT_ELAPSED_SECONDS,
    names.ROLLOUT_PHASE_ELAPSED_SECONDS, names.ROLLOUT_GATE, names.ROLLOUT_ADVANCE, names.ROLLOUT_LIMIT,
    names.ROLLOUT_WAITING,
    names.ROLLOUT_EVENT_TIMESTAMP_SECONDS, names.TRAFFIC_RATIO, names.TRAFFIC_TARGET_RATIO, names.ROLLBACKS_TOTAL,
    names.ACTIONS_TOTAL, names.WEBHOOK_ALERTS_TOTAL, names.NOTIFICATIONS_TOTAL, names.ROUTER_DRIFT_TOTAL,
    names.WATCHDOG_LAST_SEEN_TIMESTAMP_SECONDS, f"{names.CONVERGENCE_SECONDS}_count",
}  # fmt: skip


async def samples(setting: Setting) -> dict[str, list[Sample]]:
    """All samples by name."""
    async with aiohttp.ClientSession() as session, session.get(f"{setting.url}/metrics") as answer:
        text = await answer.text()
    found: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def value(found: dict[str, list[Sample]], name: str, **labels: str) -> float:
    """The one sample with these labels."""
    (sample,) = (one for one in found[name] if labels.items() <= one.labels.items())
    return sample.value


async def test_before_the_first_rollout_the_state_is_idle(setting: Setting, haproxy: HAProxy) -> None:
    """Nothing is made up: without a rollout there is its state, the share of the routers, and no more."""
    async with receiving(setting):
        await until(setting, "settled", lambda now: now["settled"])
        found = await samples(setting)

    assert value(found, names.ROLLOUT_STATE, state="idle") == 1
    assert sum(sample.value for sample in found[names.ROLLOUT_STATE]) == 1
    assert value(found, names.TRAFFIC_RATIO, role="canary") == 0
    assert names.ROLLOUT_INFO not in found
    assert names.TRAFFIC_TARGET_RATIO not in found


async def test_a_rollback_as_metrics(setting: Setting, haproxy: HAProxy) -> None:
    """After a rollback every series of the contract is there, labelled with the service, and says what happened."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "5 %", lambda now: now["settled"])
        rollout = (await status(setting))["rollout"]["id"]
        await post(setting, payload(alert(names.WATCHDOG, "none", rollout)))
        early = await samples(setting)
        for _ in range(3):
            await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
        await until(setting, "rolled back", in_state("rolled_back"))
        await until(setting, "told", lambda now: "notify" in now["rollout"]["steps"])
        found = await samples(setting)

    assert set(found) >= ALWAYS
    for name in ALWAYS - {f"{names.CONVERGENCE_SECONDS}_count"}:
        for sample in found[name]:
            assert set(sample.labels) == {names.SERVICE, *names.LABELS.get(name, ())}, name
    of_rollouts = {name for name in found if names.ROLLOUT in names.LABELS.get(name, ())}
    assert {sample.labels[names.ROLLOUT] for name in of_rollouts for sample in found[name]} == {rollout}
    assert value(found, names.ROLLOUT_SINCE_END_SECONDS) >= 0
    assert value(early, names.TRAFFIC_RATIO, role="canary") == 0.05
    assert value(early, names.TRAFFIC_TARGET_RATIO, role="stable") == 0.95
    assert value(found, names.TRAFFIC_RATIO, role="canary") == 0
    assert value(found, names.ROLLOUT_STATE, state="rolled_back") == 1
    assert value(found, names.ROLLBACKS_TOTAL, cause="CanaryHighErrorRate") == 1
    assert value(found, names.WEBHOOK_ALERTS_TOTAL, action="rollback", outcome="accepted") == 1
    assert value(found, names.WEBHOOK_ALERTS_TOTAL, action="rollback", outcome="joined") == 2
    assert value(found, f"{names.CONVERGENCE_SECONDS}_count") >= 2


async def test_the_plan_as_metrics(setting: Setting, haproxy: HAProxy) -> None:
    """What rules compare with is published for the rollout: limits, gate, advance, and what the phase has lasted."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await until(setting, "5 %", lambda now: now["settled"])
        found = await samples(setting)

    published = {(one.labels[names.LIMIT], one.labels[names.KPI]): one.value for one in found[names.ROLLOUT_LIMIT]}
    assert published == {(limit.name, limit.kpi): limit.value for limit in limits(setting.policy)}
    (phase, *_) = setting.policy.phases
    assert value(found, names.ROLLOUT_GATE, gate=gate_of(phase)) == 1
    assert sum(one.value for one in found[names.ROLLOUT_GATE]) == 1
    assert value(found, names.ROLLOUT_WAITING, reason="time") == 1
    assert sum(one.value for one in found[names.ROLLOUT_WAITING]) == 1
    assert value(found, names.ROLLOUT_ADVANCE, mode=phase.advance) == 1
    assert sum(one.value for one in found[names.ROLLOUT_ADVANCE]) == 1
    assert value(found, names.ROLLOUT_PHASE_DURATION_SECONDS) == phase.duration
    assert 0 <= value(found, names.ROLLOUT_PHASE_ELAPSED_SECONDS) <= value(found, names.ROLLOUT_ELAPSED_SECONDS) + 1


async def test_a_finish_says_what_it_waits_for(setting: Setting, haproxy: HAProxy) -> None:
    """Status and metric have the same word for it as for a rollout: here no Prometheus runs."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await order(setting, "promote", force=True)
        await until(setting, "everybody on the canary", lambda now: now["settled"])
        await order(setting, "finish", force=True)
        await until(setting, "it waits", lambda now: now["waiting_reason"] == "prometheus")
        found = await samples(setting)

    assert value(found, names.ROLLOUT_WAITING, reason="prometheus") == 1
    assert sum(one.value for one in found[names.ROLLOUT_WAITING]) == 1


async def test_counters_survive_a_restart(setting: Setting, haproxy: HAProxy) -> None:
    """What the journal has is counted again after a restart, so that no increase is missed or invented."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        await order(setting, "rollback", reason="x")
        await until(setting, "rolled back", in_state("rolled_back"))
    async with receiving(setting):
        found = await samples(setting)

    assert value(found, names.ROLLBACKS_TOTAL, cause="manual") == 1
    assert value(found, names.ACTIONS_TOTAL, action="rollback", outcome="done") == 1


async def test_unknown_causes_make_no_new_series(setting: Setting, haproxy: HAProxy) -> None:
    """Whatever alerts are called, causes and actions stay few."""
    async with receiving(setting):
        await order(setting, "start", canary="v2.0", stable="v1.0")
        rollout = (await status(setting))["rollout"]["id"]
        await post(setting, payload(*(alert(f"Mine{number}", f"act{number}", rollout) for number in range(50))))
        await post(setting, payload(alert("MyOwnAlert", "rollback", rollout)))
        await until(setting, "rolled back", in_state("rolled_back"))
        found = await samples(setting)

    assert value(found, names.ROLLBACKS_TOTAL, cause=names.OTHER) == 1
    assert {sample.labels["action"] for sample in found[names.WEBHOOK_ALERTS_TOTAL]} <= set(names.ACTIONS)

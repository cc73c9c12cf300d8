"""A real Prometheus that is restarted between two rollouts decides nothing about the second by the first.

Restarted between the last scrape of a rollout's series and their end, Prometheus writes no stale marker: it answers
them for five minutes more. Each test makes sure that this is so at the moment that it is about, by what Prometheus
answers and by a rule that joins without the id, which does fire.
"""

import asyncio
import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from canary import names
from canary.mixin.yamltext import dump
from canary.policy import Policy
from rules.generate import rule_groups
from rules.promtool.world import ROLLOUT, World
from scripts import golden
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus
from tests.support.web.webserver import served

_EARLIER, _PRESENT = "rollout-a", "rollout-b"
_KPI = "conversion_rate"
_PATIENCE_SECONDS = 120.0

# So many looks at the rules after the restart.
_LOOKS = 5

_CARELESS = {
    "alert": "JoinedWithoutIdentity",
    "expr": f'canary_rollout_info{{rollout="{_PRESENT}"}} and on () (max(canary_kpi_verdict{{verdict="%s"}}) == 1)',
}


class _Target:
    """Serves one moment of one rollout, until another is set."""

    def __init__(self) -> None:
        self.text = ""

    def show(self, world: World, rollout: str) -> None:
        """Serve the last sample of each series of a world, as this rollout."""
        lines = []
        for (metric, labels), values in world.series.items():
            value = values[world.begin]
            if isinstance(value, float | int):
                told = ",".join(f'{key}="{rollout if text == ROLLOUT else text}"' for key, text in labels)
                lines.append(f"{metric}{{{told}}} {value!r}\n")
        self.text = "".join(lines)

    async def metrics(self, _request: web.Request) -> web.Response:
        """What a scrape gets."""
        return web.Response(text=self.text)


def _world(policy: Policy, verdict: str, *, over: bool = True) -> World:
    """A rollout whose phase is over or has just begun, and of whose KPIs all have this verdict."""
    world = World(policy, step=1, begin=1, count=4)
    phase = policy.phases[0]
    world.phase(0, phase, phase.duration if over else 0)
    for name in policy.kpis:
        evidence = 9.0 if verdict == "fail" else 0.1
        world.judgement(name, verdict=verdict, evidence=evidence, units=max(1, policy.evidence.minimum_units))
    return world


def _configuration(folder: Path, address: str, policy: Policy, verdict: str) -> str:
    groups = rule_groups(policy)["alerts"]["groups"]
    careless = {**_CARELESS, "expr": _CARELESS["expr"] % verdict}
    last = {"name": "careless", "interval": "1s", "rules": [careless]}
    (folder / "rules.yml").write_text(dump({"groups": [*groups, last]}), encoding="utf-8")
    return (
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{folder}/rules.yml']\n"
        f"scrape_configs: [{{job_name: all, honor_labels: true, static_configs: [{{targets: ['{address}']}}]}}]\n"
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(("before", "alert"), [("fail", names.CONVERSION_DEGRADED), ("pass", names.PHASE_COMPLETE)])
async def test_what_an_earlier_rollout_left_decides_nothing(
    before: str, alert: str, end: signal.Signals, tmp_path: Path
) -> None:
    """Neither the harm nor the pass of A, still answered, makes any alert about B fire; B's phase is not complete."""
    policy = _policy(when_proven=before == "pass")
    target = _Target()
    target.show(_world(policy, before), _EARLIER)
    async with served(web.get("/metrics", target.metrics)) as address:
        configuration = _configuration(tmp_path, address, policy, before)
        with await asyncio.to_thread(Prometheus(configuration).__enter__) as prometheus:

            async def holds(question: Callable[[], bool]) -> bool:
                return await asyncio.to_thread(question)

            async def soon(question: Callable[[], bool], what: str) -> None:
                await eventually(lambda: holds(question), what, _PATIENCE_SECONDS)

            fires = f'ALERTS{{alertname="{alert}",rollout="{_EARLIER}",alertstate="firing"}}'
            await soon(lambda: bool(prometheus.query(fires)), f"{alert} fires for A")

            await asyncio.to_thread(prometheus.end, end)
            target.show(_world(policy, "hold", over=before == "pass"), _PRESENT)
            await asyncio.to_thread(prometheus.again)

            looks = f'count_over_time(rollout:canary_rollout_info:running{{rollout="{_PRESENT}"}}[5m]) >= {_LOOKS}'
            await soon(lambda: bool(prometheus.query(looks)), "the rules have looked at B")
            left = f'canary_kpi_verdict{{rollout="{_EARLIER}",kpi="{_KPI}",verdict="{before}"}} == 1'
            assert prometheus.query(left), "A's series must still be answered, or nothing was tested"
            assert prometheus.query(f'ALERTS{{alertname="{_CARELESS["alert"]}",rollout="{_PRESENT}"}}')
            # Pending ones as well. What only tells people is left out: the target's counters stand still.
            about = f'last_over_time(ALERTS{{rollout="{_PRESENT}",action=~"rollback|hold|advance"}}[5m])'
            found = [one["metric"] for one in prometheus.query(about)]

    assert found == []


def _policy(*, when_proven: bool) -> Policy:
    """The strategy's policy, looked at every second."""
    policy = golden.policy("strategy")
    first = dataclasses.replace(policy.phases[0], advance="when_proven" if when_proven else "on_schedule", gate=None)
    # Proven KPIs are asked for where A passed: then nothing but A's pass could complete B's phase, which is over.
    return dataclasses.replace(
        policy,
        phases=(first, *policy.phases[1:]),
        signals=dataclasses.replace(policy.signals, scrape_interval=1, evaluation_interval=1),
    )

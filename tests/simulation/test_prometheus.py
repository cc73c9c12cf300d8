"""The model of Prometheus next to the real one: the same target, the same moments, the same answers."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from canary.testing.prometheus import MemoryPrometheus, Rule
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus
from tests.support.web.webserver import served

_PATIENCE_SECONDS = 120.0


class _Target:
    """One page for both: the real Prometheus scrapes it, the model is given it."""

    def __init__(self) -> None:
        self.series: dict[str, float] = {}

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text="".join(f'{name}{{rollout="a"}} {value}\n' for name, value in self.series.items()))

    def samples(self) -> list[tuple[str, Mapping[str, str], float]]:
        return [(name, {"rollout": "a"}, value) for name, value in self.series.items()]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_series_end_as_in_the_real_prometheus(end: signal.Signals, tmp_path: Path) -> None:
    """What a target no longer shows is gone; what went while Prometheus was restarted is still answered."""
    target, model = _Target(), MemoryPrometheus(lambda: 0.0)
    (tmp_path / "rules.yml").write_text("groups: [{name: all, rules: [{alert: CanaryWatchdog, expr: vector(1)}]}]")
    async with served(web.get("/metrics", target.metrics)) as address:
        configuration = (
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{tmp_path}/rules.yml']\n"
            f"scrape_configs: [{{job_name: all, static_configs: [{{targets: ['{address}']}}]}}]\n"
        )
        with await asyncio.to_thread(Prometheus(configuration).__enter__) as prometheus:

            async def agree(what: str) -> None:
                model.scrape("target", target.samples())
                expected = sorted(name for name in ("kept", "dropped", "new") if any(model.series(name)))
                await soon(lambda: _names(prometheus) == expected, f"{what}: {expected}")

            async def soon(question: Callable[[], bool], what: str) -> None:
                await eventually(lambda: asyncio.to_thread(question), what, _PATIENCE_SECONDS)

            target.series = {"kept": 1.0, "dropped": 2.0}
            await agree("both are scraped")
            target.series = {"kept": 1.0}
            await agree("what is shown no more is gone")
            target.series = {"kept": 1.0, "dropped": 2.0}
            await agree("and is back")

            await asyncio.to_thread(prometheus.end, end)
            target.series = {"kept": 1.0, "new": 3.0}
            model.restart()
            await asyncio.to_thread(prometheus.again)
            await agree("what went during the restart is still answered")

            model.rules.append(Rule("CanaryWatchdog", {}, lambda _: [{}]))
            model.evaluate()
            fires = 'ALERTS{alertname="CanaryWatchdog",alertstate="firing"}'
            await soon(lambda: len(prometheus.query(fires)) == len(model.alerts(firing=True)), "the watchdog fires")


def _names(prometheus: Prometheus) -> list[str]:
    return sorted(one["metric"]["__name__"] for one in prometheus.query('{__name__=~"kept|dropped|new"}'))


def test_five_minutes_after_its_last_sample_a_series_is_not_answered() -> None:
    """`--query.lookback-delta`, which nobody waits for here."""
    now = [0.0]
    model = MemoryPrometheus(lambda: now[0])
    model.scrape("target", [("kept", {}, 1.0)])
    model.restart()
    now[0] = 299.0
    assert [one.value for one in model.series("kept")] == [1.0]
    now[0] = 300.0
    assert list(model.series("kept")) == []


def test_an_alert_fires_after_its_for() -> None:
    """Until then it is pending; what is found no more is over at once."""
    now, found = [0.0], [{"rollout": "a"}]
    model = MemoryPrometheus(lambda: now[0], [Rule("Held", {"action": "hold"}, lambda _: found, hold_seconds=10.0)])
    model.evaluate()
    now[0] = 5.0
    model.evaluate()
    assert (len(model.alerts()), len(model.alerts(firing=True))) == (1, 0)
    now[0] = 10.0
    model.evaluate()
    assert len(model.alerts(firing=True)) == 1
    found.clear()
    model.evaluate()
    assert model.alerts() == []

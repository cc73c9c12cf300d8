"""An experiment from the order database to the shop's next question, every part real and configured as generated."""

import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from alertmanager.config.configuration import alertmanager_file
from canary.rollout.experiments import CHAIN, ExperimentStarted
from canary.rollout.journal.journal import Journal
from canary.web.client import Client
from canary.web.options import WebOptions
from exporter.loop import Loop
from exporter.service import Exporter
from rules.generate import prometheus_files
from tests.support.databases.shopdata import ORDERS, VISITS, ShopData
from tests.support.programs.alertmanager import Alertmanager
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus
from tests.support.receiving.chain import Places
from tests.support.receiving.receiver import Setting, receiving

_MINUTES = 30
_ARMS = {"control": {"weight": 50, "version": "v1.0"}, "treatment": {"weight": 50, "version": "v2.0"}}
_ARRIVED = 'canary_webhook_alerts_total{action="stop",outcome=~"accepted|joined"} > 0'


@dataclass
class Shop:
    """A shop whose experiment on conversion began half an hour ago."""

    folder: Path
    role: str
    """What conversion is to the experiment: `metrics` or `guardrails`."""
    places: Places = field(default_factory=Places)
    exporter_at: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    def __post_init__(self) -> None:
        """Write the policy."""
        changes = {
            "database": {"url": f"sqlite:///{self.folder}/shop.db", "refresh": "200ms"},
            "signals": {
                "scrape_interval": "500ms",
                "evaluation_interval": "500ms",
                "exporter_target": self.exporter_at,
            },
            "receiver": self.places.section(),
            "experiments": {"checkoutFlow": {"variants": _ARMS, self.role: ["conversion_rate"]}},
        }
        self.setting = Setting(self.folder / "guard", changes=changes)

    async def sell(self, buying: dict[str, float]) -> None:
        """A visit a second since the experiment began, of either version, which buys with its probability."""
        luck = random.Random(3)
        now = datetime.now(UTC)
        visits, orders = [], []
        for number in range(1, _MINUTES * 60):
            version = luck.choice(sorted(buying))
            at = now - timedelta(seconds=number)
            visits.append({"id": number, "version": version, "created_at": at})
            if luck.random() < buying[version]:
                orders.append({"visit_id": number, "version": version, "created_at": at, "total": 9, "currency": "EUR"})
        data = ShopData(f"sqlite+aiosqlite:///{self.folder}/shop.db")
        await data.create()
        await data.insert_many(VISITS, visits)
        await data.insert_many(ORDERS, orders)
        await data.close()
        weights = {name: float(str(arm["weight"])) for name, arm in _ARMS.items()}
        begun = ExperimentStarted(
            rollout="checkoutFlow", at=now - timedelta(minutes=_MINUTES), actor="receiver", weights=weights
        )
        async with Journal.open(self.setting.policy, CHAIN) as journal:
            await journal.append(begun)

    @asynccontextmanager
    async def guarded(self, *, alertmanager: bool = True) -> AsyncIterator[Prometheus]:
        """Exporter, Prometheus and, if wanted, Alertmanager, on the generated files."""
        policy = self.setting.policy
        rules = self.folder / "rules"
        rules.mkdir()
        files = prometheus_files(policy)
        for name in (name for name in files if name.startswith("rules/")):
            (self.folder / name).write_text(files[name], encoding="utf-8")
        exporter = Exporter(Loop(lambda: policy), WebOptions((self.exporter_at,)))
        async with AsyncExitStack() as parts:
            await parts.enter_async_context(exporter.refreshing())
            await parts.enter_async_context(exporter.web.serving())
            if alertmanager:
                parts.enter_context(Alertmanager(alertmanager_file(policy), self.places.alertmanager))
            configuration = files["prometheus.yml"].replace("rules/*.yml", f"{rules}/*.yml")
            # Prometheus drops what fires before it has found Alertmanager, and tells it again only after this delay.
            arguments = ["--rules.alert.resend-delay=2s"]
            yield parts.enter_context(Prometheus(configuration, port=self.places.prometheus, arguments=arguments))

    async def variants(self) -> set[str]:
        """What fifty users get."""
        url = f"{self.setting.url}/ofrep/v1/evaluate/flags/checkoutFlow"
        found = set()
        async with aiohttp.ClientSession() as session:
            for number in range(50):
                body = json.dumps({"context": {"targetingKey": f"user-{number}"}})
                async with session.post(url, data=body) as answer:
                    found.add((await answer.json())["variant"])
        return found

    async def known(self) -> dict[str, Any]:
        """Where the experiment stands at the receiver."""
        async with Client.of(self.setting.policy) as client:
            (one,) = await client.get("experiments")
        assert isinstance(one, dict)
        return one

    async def stopped(self) -> bool:
        """Whether the receiver has stopped it."""
        return not (await self.known())["running"]


def firing(prometheus: Prometheus, alert: str) -> bool:
    """Whether an alert about the treatment fires."""
    return bool(prometheus.query(f'ALERTS{{alertname="{alert}",variant="treatment",alertstate="firing"}}'))


async def test_a_failing_guardrail_stops_the_experiment(tmp_path: Path) -> None:
    """Orders that a treatment loses stop it by themselves: the shop's next question gets the control, for everybody."""
    shop = Shop(tmp_path, "guardrails")
    await shop.sell({"v1.0": 0.4, "v2.0": 0.15})

    async with receiving(shop.setting):
        before = await shop.variants()
        async with shop.guarded() as prometheus:
            await eventually(shop.stopped, "the experiment is stopped", 60)
            after = await shop.variants()
            reason = (await shop.known())["reason"]
            await eventually(lambda: bool(prometheus.query(_ARRIVED)), "Alertmanager's webhook arrives", 30)
            await eventually(lambda: not firing(prometheus, "CanaryExperimentHarm"), "the alert resolves", 30)

    assert (before, after) == ({"control", "treatment"}, {"control"})
    assert re.match(r"Proven: conversion_rate of treatment is worse .*; the change is -\d+\.\d+%, between -", reason)
    assert "?" not in reason


async def test_a_failing_guardrail_stops_the_experiment_without_alertmanager(tmp_path: Path) -> None:
    """With Alertmanager down nobody delivers the alert; the receiver sees it at Prometheus, and stops."""
    shop = Shop(tmp_path, "guardrails")
    await shop.sell({"v1.0": 0.4, "v2.0": 0.15})

    async with receiving(shop.setting), shop.guarded(alertmanager=False):
        await eventually(shop.stopped, "the experiment is stopped", 60)

        assert await shop.variants() == {"control"}


async def test_a_winner_is_announced_and_not_shipped(tmp_path: Path) -> None:
    """A treatment that sells more is announced by an alert, and users are assigned as before."""
    shop = Shop(tmp_path, "metrics")
    await shop.sell({"v1.0": 0.15, "v2.0": 0.4})

    async with receiving(shop.setting):
        before = await shop.variants()
        async with shop.guarded() as prometheus:
            await eventually(lambda: firing(prometheus, "CanaryExperimentWinner"), "the winner is announced", 60)

        assert (before, await shop.variants()) == ({"control", "treatment"}, {"control", "treatment"})
        assert not await shop.stopped()

"""History written for Prometheus says what the exporter would have said."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from canary import names
from canary.policy import Policy, load_policy
from canaryctl.cli import canary
from exporter.source.database import Patience
from exporter.source.sources import order_sources
from exporter.study.backfill import Backfill, backfill
from tests.support.clock import FakeClock
from tests.support.databases.exporting import kpis, policy_for, refresher_on, settle
from tests.support.databases.shopdata import ShopData, fill
from tests.support.programs.prometheus import Prometheus

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VISITS = 5400


@pytest.fixture
async def policy(tmp_path: Path) -> AsyncIterator[Policy]:
    """The default policy on a shop with an hour and a half of stable and half an hour of a canary."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    data = ShopData(url.replace("sqlite", "sqlite+aiosqlite"))
    await data.create()
    await fill(data, NOON, VISITS)
    await fill(data, NOON, 1800, version="v2.0", seed=1)
    yield policy_for(url, tmp_path)
    await data.close()


async def _backfilled(policy: Policy, *, hours: float = 2, step: float = 60) -> Backfill:
    end = NOON.timestamp()
    async with order_sources(policy, Patience.STUDY) as sources:
        return await backfill(policy, sources, since=end - hours * 3600, until=end, step=step)


async def test_counters_end_where_the_database_does(policy: Policy, tmp_path: Path) -> None:
    """The last sample of every counter is what SELECT count(*) says; on the way it never falls."""
    data = ShopData(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    truth = await data.counts()
    await data.close()

    found = await _backfilled(policy)

    last: dict[str, dict[tuple[str, ...], float]] = {}
    for (metric, labels), values in found.series.items():
        if metric.endswith("_total"):
            assert (values[1:] >= values[:-1]).all()
            kept = tuple(value for key, value in sorted(labels, reverse=True) if key not in ("service", "job"))
            last.setdefault(metric, {})[kept] = round(float(values[-1]), 6)
    for metric in ("shop_visits_total", "shop_orders_total", "shop_order_value_total", "shop_payments_total"):
        assert last[metric] == pytest.approx(truth[metric])


async def test_kpis_are_the_exporters_own(policy: Policy) -> None:
    """The last sample of every KPI is what the exporter itself publishes at that moment."""
    clock = FakeClock(NOON)
    async with refresher_on(policy, clock) as refresher:
        await settle(refresher, clock)
        live = kpis(refresher)

    found = await _backfilled(policy)

    for (kpi, version), value in live.items():
        of_version = [
            values[-1]
            for (metric, labels), values in found.series.items()
            if metric == names.kpi_gauge(kpi) and ("version", version) in labels
        ]
        assert of_version == [pytest.approx(value, rel=0.02)], kpi


async def test_the_canary_is_absent_before_it_came(policy: Policy) -> None:
    """A version has no KPI in the time before its first unit."""
    found = await _backfilled(policy)

    (conversion,) = [
        values
        for (metric, labels), values in found.series.items()
        if metric == "shop_conversion_rate" and ("version", "v2.0") in labels
    ]

    began = found.moments >= (NOON - timedelta(minutes=30)).timestamp()
    assert (~began | (conversion == conversion)).all()  # noqa: PLR0124  # nan is not equal to itself
    assert (began | (conversion != conversion)).all()  # noqa: PLR0124  # as above


async def test_days_are_counted_as_one(policy: Policy) -> None:
    """Reading in stretches of a day neither loses nor doubles rows at their borders."""
    short, long = await _backfilled(policy), await _backfilled(policy, hours=60)

    for key, values in short.series.items():
        assert long.series[key][-1] == pytest.approx(values[-1], nan_ok=True), key


def test_prometheus_answers_from_it(policy: Policy, tmp_path: Path) -> None:
    """The command's file becomes blocks by the printed promtool command, and Prometheus answers from them."""
    file = tmp_path / "history.om"
    configuration = tmp_path / "canary.yaml"
    configuration.write_text(f"service: shop\ndatabase: {{url: 'sqlite:///{tmp_path / 'shop.db'}'}}\n")

    span = ["--since", "2h", "--until", NOON.isoformat(), "--step", "30s"]
    where = ["--config.file", str(configuration), "--output", str(file)]
    result = CliRunner().invoke(canary, ["backfill", *where, *span])

    assert result.exit_code == 0, result.output
    assert re.search(r"\d+ samples of \d+ series written", result.output)
    assert f"promtool tsdb create-blocks-from openmetrics {file}" in result.output
    with Prometheus(history=file) as prometheus:
        (visits,) = prometheus.query('sum(increase(shop_visits_total{version="v1.0"}[30m]))', at=NOON.timestamp())
        (rate,) = prometheus.query('shop_payment_success_rate{version="v2.0"}', at=NOON.timestamp())
    assert float(visits["value"][1]) == pytest.approx(1800, rel=0.01)
    assert rate["metric"]["service"] == load_policy(configuration).service
    assert 0.85 < float(rate["value"][1]) < 0.95


def test_scripts_are_told_what_was_written(policy: Policy, tmp_path: Path) -> None:
    """JSON has the file, and how many series and samples are in it."""
    configuration = tmp_path / "canary.yaml"
    configuration.write_text(f"service: shop\ndatabase: {{url: 'sqlite:///{tmp_path / 'shop.db'}'}}\n")
    where = ["--config.file", str(configuration), "--output", str(tmp_path / "history.om"), "--format", "json"]

    result = CliRunner().invoke(canary, ["backfill", *where, "--since", "10m", "--until", NOON.isoformat()])
    said = json.loads(result.stdout)

    samples = [line for line in Path(said["output"]).read_text().splitlines() if not line.startswith("#")]
    assert len(samples) == said["samples"] > said["series"] > 0


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--step", "10m"], "at most 5m"),
        (["--since", "long"], "expected a duration"),
        (["--until", "tomorrow"], "expected a time such as"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], found: str, tmp_path: Path) -> None:
    """Each option says what it expects."""
    result = CliRunner().invoke(canary, ["backfill", "--output", str(tmp_path / "x"), *arguments])

    assert result.exit_code == 2
    assert found in result.output

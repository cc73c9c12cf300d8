"""`canary experiment`: the report from the order database, and a person's stop and start."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from canary.errors import RefusedError
from canary.policy import load_policy
from canary.rollout import experiments
from canary.rollout.journal.journal import Journal
from canaryctl.cli.rollout.experiment import command
from tests.support.databases.shopdata import ORDERS, VISITS, ShopData
from tests.support.receiving.receiver import Setting, receiving

STARTED = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=50)
EXPERIMENTS = {
    "checkoutFlow": {
        "variants": {"control": {"weight": 50, "version": "v1.0"}, "treatment": {"weight": 50, "version": "v2.0"}},
        "metrics": ["conversion_rate"],
    }
}


async def history(folder: Path) -> None:
    """A shop whose treatment halves the conversion."""
    data = ShopData(f"sqlite+aiosqlite:///{folder}/shop.db")
    await data.create()
    luck = random.Random(3)
    visits: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []
    for number in range(2900):
        version = luck.choice(["v1.0", "v2.0"])
        at = STARTED + timedelta(seconds=number)
        visits.append({"id": number + 1, "version": version, "created_at": at})
        if luck.random() < {"v1.0": 0.3, "v2.0": 0.15}[version]:
            orders.append({"visit_id": number + 1, "version": version, "created_at": at})
    async with data.engine.begin() as connection:
        await connection.execute(VISITS.insert(), visits)
    await data.insert_many(ORDERS, orders)
    await data.close()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy with an experiment."""
    file = tmp_path / "canary.yaml"
    file.write_text(
        yaml.safe_dump({"service": "shop", "database": {"url": "sqlite:///shop.db"}, "experiments": EXPERIMENTS})
    )
    return file


async def begin(file: Path) -> None:
    """What a receiver writes when it meets the experiment."""
    async with Journal.open(load_policy(file), experiments.CHAIN) as journal:
        weights = {"control": 50.0, "treatment": 50.0}
        await journal.append(
            experiments.ExperimentStarted(
                rollout="checkoutFlow", at=STARTED, actor="receiver", reason="begun", weights=weights
            )
        )


def run(*arguments: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_report_says_what_the_treatment_does(policy: Path) -> None:
    """JSON has the verdict, bounds and units of each KPI; HTML shows them without any outside reference."""
    asyncio.run(history(policy.parent))
    asyncio.run(begin(policy))

    found = json.loads(run("report", "--format", "json", f"--config.file={policy}"))
    page = policy.parent / "report.html"
    run("report", "--output", str(page), f"--config.file={policy}")

    (arm,) = found["arms"]
    kpi = arm["kpis"]["conversion_rate"]
    assert (arm["variant"], kpi["verdict"], kpi["better"]) == ("treatment", "fail", False)
    assert kpi["lower"] < kpi["estimate"] < kpi["upper"] < 0
    assert kpi["treatment_units"] + kpi["control_units"] > 2800
    html = page.read_text()
    assert "checkoutFlow" in html
    assert "data:image/svg+xml" in html
    assert "http" not in html


def test_without_an_experiment_that_began_there_is_nothing_to_report(policy: Path) -> None:
    """The refusal says what begins experiments."""
    with pytest.raises(RefusedError, match="canary receiver"):
        run("report", f"--config.file={policy}")


async def test_a_person_stops_and_starts_by_name(tmp_path: Path) -> None:
    """Status, stop and start talk to the receiver."""
    setting = Setting(tmp_path / "receiver", changes={"experiments": EXPERIMENTS})
    where = f"--config.file={setting.policy_file}"
    async with receiving(setting):
        before = await asyncio.to_thread(run, "status", where)
        stopped = await asyncio.to_thread(run, "stop", "checkoutFlow", "--reason", "enough", "--format", "json", where)
        after = json.loads(await asyncio.to_thread(run, "status", "--format", "json", where))
        await asyncio.to_thread(run, "start", "checkoutFlow", "--reason", "once more", where)
        again = await asyncio.to_thread(run, "status", where)

    assert "running" in before
    assert json.loads(stopped) == after[0]
    assert (after[0]["running"], after[0]["reason"]) == (False, "enough")
    assert "running" in again

"""Past rollouts replayed from the order database."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from canary.errors import InputError
from canary.policy import load_policy
from canaryctl.cli import canary
from exporter.study.backtest import Replay, backtest
from exporter.study.pastrollouts import read_rollouts
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData

START = datetime(2026, 3, 1, 22, 40, tzinfo=UTC)
PHASES = ((5, 0.05), (15, 0.25), (20, 0.5))
HEADER = "rollout,stable,canary,traffic,started_at,ended_at\n"
KPI_KEYS = {
    "verdict",
    "failed_tests",
    "estimate",
    "lower",
    "upper",
    "log10_evidence",
    "canary_units",
    "stable_units",
    "hold_reason",
    "harmed_segments",
}


def csv_of(name: str, start: datetime, stable: str, canary_version: str) -> str:
    """The CSV rows of one rollout of 5 % / 25 % / 50 %."""
    lines, began = "", start
    for minutes, share in PHASES:
        ended = began + timedelta(minutes=minutes)
        lines += f"{name},{stable},{canary_version},{share:.0%},{began:%Y-%m-%dT%H:%M:%SZ},{ended:%Y-%m-%d %H:%M:%S}\n"
        began = ended
    return lines


async def write_rollout(
    data: ShopData, start: datetime, versions: tuple[str, str], *, canary_success: float, seed: int
) -> None:
    """Sixty visits a minute, every second one an order with a payment; and an hour of stable before."""
    luck = random.Random(seed)
    visits, orders, payments = [], [], []
    seconds = [luck.uniform(-600, 2400) for _ in range(3000)]
    for number, second in enumerate(sorted(seconds), start=seed * 100_000):
        share = 0.0 if second < 0 else 0.05 if second < 300 else 0.25 if second < 1200 else 0.5
        version = versions[luck.random() < share]
        at = start + timedelta(seconds=second)
        visits.append({"id": number, "visitor_id": f"c{number}", "version": version, "created_at": at})
        if luck.random() < 0.5:
            later = at + timedelta(seconds=luck.expovariate(1 / 30))
            good = luck.random() < (0.97 if version == versions[0] else canary_success)
            orders.append(
                {"id": number, "visit_id": number, "version": version, "status": "paid", "total": 20, "currency": "EUR"}
                | {"created_at": later}
            )
            payments.append(
                {"id": number, "order_id": number, "version": version, "status": "succeeded" if good else "failed"}
                | {"amount": 20, "created_at": later, "settled_at": later + timedelta(seconds=luck.uniform(0, 20))}
            )
    for table, rows in ((VISITS, visits), (ORDERS, orders), (PAYMENTS, payments)):
        await data.insert_many(table, rows)


def policy_file(folder: Path, url: str) -> Path:
    """A bare policy on a database."""
    path = folder / "canary.yaml"
    path.write_text(f"service: shop\ndatabase:\n  url: {json.dumps(url)}\n")
    return path


async def replays(path: Path, rollouts: Path) -> list[Replay]:
    """What a backtest says; it runs its own event loop."""
    policy = load_policy(path)
    return await asyncio.to_thread(lambda: list(backtest(policy, read_rollouts(rollouts))))


async def output_of(*argv: str) -> str:
    """What the command line prints."""
    result = await asyncio.to_thread(CliRunner().invoke, canary, argv, catch_exceptions=False)
    return result.output


async def test_a_harmful_rollout_is_caught_in_every_database(data: ShopData, database: str, tmp_path: Path) -> None:
    """A canary that loses a third of its payments fails, early, and those who met it afterwards are counted."""
    await write_rollout(data, START, ("v1", "v2"), canary_success=0.65, seed=1)
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(HEADER + csv_of("one", START, "v1", "v2"))

    (found,) = await replays(policy_file(tmp_path, database.replace("+aiosqlite", "")), rollouts)

    assert found.evidence.verdict == "fail"
    assert found.evidence.kpi == "payment_success_rate"
    decided = datetime.fromtimestamp(found.evidence.decided_at or 0, UTC)
    assert START < decided < START + timedelta(minutes=20)
    count = sa.select(sa.func.count()).select_from(VISITS).where(VISITS.c.version == "v2")
    everyone = (await data.run(count))[0][0]
    before = (await data.run(count.where(VISITS.c.created_at < decided)))[0][0] if "sqlite" not in database else None
    assert found.exposed + found.spared == everyone
    assert before is None or found.exposed == before
    assert found.evidence.kpis["payment_success_rate"].floor is not None


async def test_json_has_one_object_a_line_with_the_promised_keys(lite: ShopData, tmp_path: Path) -> None:
    """`--format json` prints one object a line, in the file's order, nulls where nothing is known."""
    later = START + timedelta(hours=3)
    await write_rollout(lite, START, ("v1", "v2"), canary_success=0.97, seed=2)
    await write_rollout(lite, later, ("v2", "v3"), canary_success=0.5, seed=3)
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(HEADER + csv_of("healthy", START, "v1", "v2") + csv_of("harmful", later, "v2", "v3"))
    path = policy_file(tmp_path, f"sqlite:///{tmp_path}/shop.db")

    argv = ("backtest", "--config.file", str(path), "--rollouts", str(rollouts))
    lines = await output_of(*argv, "--format", "json")
    table = await output_of(*argv)

    first, second = (json.loads(line) for line in lines.splitlines())
    assert set(first) == set(second) == {"rollout", "verdict", "kpi", "decided_at", "kpis"}
    assert (first["rollout"], first["verdict"], first["kpi"], first["decided_at"]) == ("healthy", "hold", None, None)
    assert (second["rollout"], second["verdict"], second["kpi"]) == ("harmful", "fail", "payment_success_rate")
    assert second["decided_at"].endswith("Z")
    for kpi in [*first["kpis"].values(), *second["kpis"].values()]:
        assert set(kpi) == KPI_KEYS
    payments = second["kpis"]["payment_success_rate"]
    assert payments["verdict"] == "fail"
    assert payments["estimate"] < -0.2
    assert first["kpis"]["conversion_rate"]["canary_units"] > 500
    assert first["kpis"]["customer_satisfaction"]["estimate"] is None
    assert "1 of 2 rollouts would have been rolled back" in table


async def test_times_stored_in_a_local_zone_give_the_same_answer(data: ShopData, database: str, tmp_path: Path) -> None:
    """The same rows, stored five hours ahead of UTC without a zone, are judged the same under `database.timezone`."""
    await write_rollout(data, START, ("v1", "v2"), canary_success=0.65, seed=3)
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(HEADER + csv_of("one", START, "v1", "v2"))
    path = policy_file(tmp_path, database.replace("+aiosqlite", ""))
    (in_utc,) = await replays(path, rollouts)

    await data.store_in_local_time("Asia/Karachi", 5)
    path.write_text(path.read_text() + "  timezone: Asia/Karachi\n")
    (local,) = await replays(path, rollouts)

    assert in_utc.evidence.verdict == "fail"
    assert _told(local) == _told(in_utc)
    # A unit on the edge of a bucket may fall into the next one, and cohorts close by their number.
    assert local.evidence.decided_at == pytest.approx(in_utc.evidence.decided_at, abs=10.0)


def _told(replay: Replay) -> dict[str, Any]:
    """What a person is told, but for what hangs on the precision in which times are stored."""
    said = replay.as_json()
    kpis = {name: kpi["verdict"] for name, kpi in said["kpis"].items()}
    return {**said, "kpis": kpis, "decided_at": None, "customers": replay.exposed + replay.spared}


async def test_a_failure_names_the_test_that_proved_it(lite: ShopData, tmp_path: Path) -> None:
    """A canary below its floor and proven worse, though by less than the tolerance, fails by its floor and says so."""
    await write_rollout(lite, START, ("v1", "v2"), canary_success=0.75, seed=6)
    path = policy_file(tmp_path, f"sqlite:///{tmp_path}/shop.db")
    kpi = "{kind: success, of: payments, tolerance: 50%, floor: 90%, action: rollback}"
    path.write_text(path.read_text() + f"kpis: {{payment_success_rate: {kpi}}}\n")
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(HEADER + csv_of("one", START, "v1", "v2"))

    (found,) = await replays(path, rollouts)
    table = await output_of("backtest", "--config.file", str(path), "--rollouts", str(rollouts))

    assert found.as_json()["kpis"]["payment_success_rate"]["failed_tests"] == ["floor"]
    assert found.evidence.kpis["payment_success_rate"].estimate > -0.5
    assert "floor (canary at " in table


async def test_abandonment_that_rises_has_a_plus(lite: ShopData, tmp_path: Path) -> None:
    """A KPI that publishes one minus a conversion shows the change of what it publishes, not that of the conversion."""
    await write_rollout(lite, START, ("v1", "v2"), canary_success=0.97, seed=7)
    await lite.run(ORDERS.delete().where(ORDERS.c.version == "v2", ORDERS.c.id % 3 == 0))
    path = policy_file(tmp_path, f"sqlite:///{tmp_path}/shop.db")
    kpi = "{kind: conversion, from: visits, to: orders, complement: true, action: rollback}"
    path.write_text(path.read_text() + f"kpis: {{visit_abandonment: {kpi}}}\n")
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(HEADER + csv_of("one", START, "v1", "v2"))

    (found,) = await replays(path, rollouts)

    change = found.changes["visit_abandonment"]
    assert found.evidence.kpis["visit_abandonment"].estimate < -0.15
    assert 0.15 < change.estimate < 0.6
    assert change.lower < change.estimate < change.upper


async def test_many_rollouts_on_several_processes_say_what_each_says_alone(lite: ShopData, tmp_path: Path) -> None:
    """More rollouts than one process takes at a time give the same answers in the same order."""
    await write_rollout(lite, START, ("v1", "v2"), canary_success=0.6, seed=4)
    rollouts, alone = tmp_path / "rollouts.csv", tmp_path / "alone.csv"
    rollouts.write_text(HEADER + "".join(csv_of(f"r{number:02}", START, "v1", "v2") for number in range(12)))
    alone.write_text(HEADER + csv_of("r05", START, "v1", "v2"))
    path = policy_file(tmp_path, f"sqlite:///{tmp_path}/shop.db")

    together = await replays(path, rollouts)
    (one,) = await replays(path, alone)

    assert [replay.rollout.name for replay in together] == [f"r{number:02}" for number in range(12)]
    assert together[5].as_json() == one.as_json()


_UNVERSIONED = """
  events:
    visits: {table: visits, unit: id, version: null}
    orders: {table: orders, parent: {visits: visit_id}, value: total, currency: currency, version: null}
    payments: {table: payments, parent: {orders: order_id}, outcome: status, settled: settled_at, version: null}
kpis:
  conversion_rate: {kind: conversion, from: visits, to: orders, action: rollback}
  payment_success_rate: {kind: success, of: payments, action: rollback}
"""


async def test_versions_that_the_shop_does_not_write(lite: ShopData, tmp_path: Path) -> None:
    """Rows that take their version from assignments give the same replay; rows that nothing is known of give none."""
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(HEADER + csv_of("r1", START, "v1", "v2"))
    await write_rollout(lite, START, ("v1", "v2"), canary_success=0.6, seed=4)
    path = policy_file(tmp_path, lite.url.replace("+aiosqlite", ""))
    bare = path.read_text(encoding="utf-8").rstrip()
    path.write_text(bare + _UNVERSIONED.replace("version: null", "version: version"), encoding="utf-8")
    said = await replays(path, rollouts)
    await lite.run(sa.text("CREATE TABLE given AS SELECT id AS unit, created_at AS time, version FROM visits"))
    await lite.run(sa.text("CREATE INDEX given_unit ON given (unit)"))
    for table in (VISITS, ORDERS, PAYMENTS):
        await lite.run(table.update().values(version=None))

    path.write_text(f"{bare}\n  assignments: {{table: given}}{_UNVERSIONED}", encoding="utf-8")
    assigned = await replays(path, rollouts)
    path.write_text(bare + _UNVERSIONED, encoding="utf-8")

    assert [_told(one) for one in assigned] == [_told(one) for one in said]
    assert said[0].evidence.verdict == "fail"
    with pytest.raises(InputError, match="no version is known of any row"):
        await replays(path, rollouts)


async def test_a_share_that_was_not_what_the_file_says_is_shown(lite: ShopData, tmp_path: Path) -> None:
    """A rollout whose canary got more or fewer of the visits than written down is blind, and the table says why."""
    await write_rollout(lite, START, ("v1", "v2"), canary_success=0.97, seed=5)
    rollouts = tmp_path / "rollouts.csv"
    rollouts.write_text(HEADER + csv_of("off", START, "v1", "v2").replace(",50%,", ",90%,"))

    table = await output_of(
        *("backtest", "--config.file", str(policy_file(tmp_path, f"sqlite:///{tmp_path}/shop.db"))),
        *("--rollouts", str(rollouts)),
    )

    assert "blind" in table.split("\n")[1]
    assert "share of visits is off" in table

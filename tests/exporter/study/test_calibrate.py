"""A shop's own proof: two equal versions put into its past."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from canary.policy import load_policy
from canaryctl.cli import canary
from exporter.judge.shop.calibration import interval, read
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData

UNTIL = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def write_past(data: ShopData, hours: float, *, heavy: bool = False) -> None:
    """Thirty visits a minute, every second one an order with a payment; heavy: one card is refused again and again."""
    luck = random.Random(1)
    visits, orders, payments = [], [], []
    for number in range(int(hours * 1800)):
        at = UNTIL - timedelta(hours=hours) * luck.random()
        customer = f"c{luck.randrange(int(hours * 600))}"
        company = heavy and luck.random() < 0.1
        visits.append({"id": number, "visitor_id": "company" if company else customer, "created_at": at})
        if luck.random() < 0.5:
            later = at + timedelta(seconds=luck.expovariate(1 / 30))
            failed = company or luck.random() < 0.03
            orders.append({"id": number, "visit_id": number, "status": "paid", "total": 20, "created_at": later})
            payments.append(
                {"id": number, "order_id": number, "status": "failed" if failed else "succeeded"}
                | {"amount": 20, "created_at": later, "settled_at": later + timedelta(seconds=20)}
            )
    for table, rows in ((VISITS, visits), (ORDERS, orders), (PAYMENTS, payments)):
        await data.insert_many(table, rows)


def policy_file(folder: Path, url: str) -> Path:
    """A bare policy on a database, with a plan of ten minutes."""
    path = folder / "canary.yaml"
    phases = (
        "phases:\n- {traffic: 25%, duration: 5m}\n- {traffic: 50%, duration: 5m}\n- {traffic: 100%, duration: 5m}\n"
    )
    path.write_text(f"service: shop\ndatabase:\n  url: {json.dumps(url)}\n{phases}")
    return path


async def calibrated(path: Path, *more: str) -> Result:
    """What the command line says, of the four hours before `UNTIL`."""
    argv = ("calibrate", "--config.file", str(path), "--until", UNTIL.isoformat(), "--days", "0.17", *more)
    return await asyncio.to_thread(CliRunner().invoke, canary, argv, catch_exceptions=False)


async def test_a_healthy_shop_is_found_healthy_and_large_harm_is_found(data: ShopData, tmp_path: Path) -> None:
    """No row says which version wrote it; what is measured is kept, printed and drawn."""
    await write_past(data, 4)
    path, picture = policy_file(tmp_path, data.url), tmp_path / "calibration.svg"
    result = await calibrated(path, "--rollouts", "10", "--harmed", "4", "--format", "json", "--plot", str(picture))

    kept = read(load_policy(path))
    assert kept is not None
    assert kept.is_of(load_policy(path))
    assert json.loads(result.stdout) == json.loads((tmp_path / "calibration.json").read_text())
    assert (kept.rollouts, kept.rolled_back) == (10, 0)
    payments = kept.kpis["payment_success_rate"]
    assert payments.failed == 0
    assert not payments.proven_too_high
    assert [harm.rollouts for harm in payments.harms] == [4, 4, 4, 4]
    assert payments.harms[-1].found_ratio >= 0.5
    assert payments.harms[-1].median_seconds is not None
    assert 0.0 < payments.harms[-1].median_seconds < 600.0
    assert "</svg>" in picture.read_text()
    assert "rolled back" in (await calibrated(path, "--rollouts", "2", "--harmed", "0")).output


async def test_rows_that_hang_together_are_told(data: ShopData, tmp_path: Path) -> None:
    """One customer with a tenth of all payments, all refused: by rows that would be many failures."""
    await write_past(data, 4, heavy=True)
    path = policy_file(tmp_path, data.url)
    await calibrated(path, "--rollouts", "2", "--harmed", "0")

    kept = read(load_policy(path))
    assert kept is not None
    found = kept.kpis["payment_success_rate"].over_dispersion
    assert found is not None
    assert found > 20.0


async def test_a_measurement_of_another_policy_says_nothing(data: ShopData, tmp_path: Path) -> None:
    """It is kept, and whoever reads it learns that it is of other rules."""
    await write_past(data, 4)
    path = policy_file(tmp_path, data.url)
    await calibrated(path, "--rollouts", "2", "--harmed", "0")
    path.write_text(path.read_text() + "evidence: {alpha: 5%}\n")

    kept = read(load_policy(path))
    assert kept is not None
    assert not kept.is_of(load_policy(path))


async def test_a_plan_longer_than_the_past_is_refused(data: ShopData, tmp_path: Path) -> None:
    """And an unreadable file is named, with what to do."""
    await write_past(data, 1)
    path = policy_file(tmp_path, data.url)
    path.write_text(path.read_text().replace("duration: 5m", "duration: 9h"))
    result = await asyncio.to_thread(
        CliRunner().invoke, canary, ("calibrate", "--config.file", str(path), "--days", "0.5")
    )
    (tmp_path / "calibration.json").write_text("{}")

    assert "expected a past longer than the plan (18h)" in str(result.exception)
    with pytest.raises(Exception, match="run `canary calibrate` again"):
        read(load_policy(path))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(20, 200)), min_size=1, max_size=10))
def test_an_interval_holds_what_was_seen(days: list[tuple[int, int]]) -> None:
    """Between 0 and 1, and never narrower than counting alone allows."""
    failed, rollouts = [bad for bad, _ in days], [all_ for _, all_ in days]
    lower, upper = interval(failed, rollouts, np.random.default_rng(1))
    share = sum(failed) / sum(rollouts)

    assert 0.0 <= lower <= share <= upper <= 1.0
    assert upper - lower > 0.5 / sum(rollouts)


def test_days_that_differ_widen_the_interval() -> None:
    """Ten bad rollouts on one day of ten say less than one on each."""
    rng = np.random.default_rng(1)
    together, apart = interval([10] + [0] * 9, [50] * 10, rng), interval([1] * 10, [50] * 10, rng)

    assert together[1] > apart[1]

"""What a rollout can prove, reckoned beforehand."""

import asyncio
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from canaryctl.cli import canary
from exporter.evidence.judge import (
    Action,
    ConversionRows,
    Harm,
    JudgeParameters,
    Kind,
    KpiParameters,
    MeanRows,
    OutcomeRows,
    RolloutJudge,
    RolloutRows,
)
from exporter.evidence.rows import Rows
from exporter.study.power import Rates, Stretch, minutes_until, power, reaches, smallest_harm
from tests.support.databases.shopdata import CARTS, FEEDBACK, ORDERS, VISITS, ShopData, fill

START = 1_700_000_000.0
ALPHA = 0.01
PAYMENTS = KpiParameters("payments", Kind.SUCCESS, tolerance=0.05)
CONVERSION = KpiParameters("conversion", Kind.CONVERSION, tolerance=0.10)
VALUES = KpiParameters("values", Kind.MEAN, tolerance=0.10)
SLOWER = KpiParameters("seconds", Kind.MEAN, tolerance=0.10, harm=Harm.INCREASE)
PHASES = (Stretch(5, 0.05), Stretch(15, 0.25), Stretch(20, 0.5))


def simulated(kpi: KpiParameters, rates: Rates, stretch: Stretch, harm: float, rollouts: int) -> float:
    """How often the judge itself proves the harm."""
    proven = 0
    for seed in range(rollouts):
        rng = np.random.default_rng(seed)
        times = START + np.sort(rng.uniform(0, 60 * stretch.minutes, rng.poisson(rates.per_minute * stretch.minutes)))
        canary_side = rng.random(times.size) < stretch.traffic
        rows: Rows
        if kpi.kind is Kind.MEAN:
            change = 1 + (harm if kpi.harm is Harm.INCREASE else -harm)
            spread = math.sqrt(math.log1p(rates.ratio**2))
            values = rng.lognormal(3.0, spread, times.size) * np.where(canary_side, change, 1.0)
            rows = MeanRows.single(times, times, canary_side, values)
        else:
            good = rng.random(times.size) < rates.ratio * np.where(canary_side, 1 - harm, 1.0)
            if kpi.kind is Kind.SUCCESS:
                rows = OutcomeRows(times, times, canary_side, times, ~good)
            else:
                later = times + rng.exponential(60 * max(rates.lag_minutes, 1e-6), times.size)
                rows = ConversionRows(times, times, canary_side, np.where(good, later, np.nan))
        judge = RolloutJudge(JudgeParameters(START, (kpi,), alpha=ALPHA))
        evidence = judge.judge(RolloutRows({kpi.name: rows}), [(START, stretch.traffic)], START + 60 * stretch.minutes)
        proven += evidence.kpis[kpi.name].decided_at is not None
    return proven / rollouts


@pytest.mark.parametrize(
    ("kpi", "rates", "traffic", "harm"),
    [
        (PAYMENTS, Rates(200, 0.97), 0.05, 0.10),
        (PAYMENTS, Rates(50, 0.97), 0.5, 0.10),
        (CONVERSION, Rates(2000, 0.03), 0.25, 0.30),
        (CONVERSION, Rates(1000, 0.05, lag_minutes=3.0), 0.5, 0.30),
        (VALUES, Rates(100, 0.5), 0.25, 0.20),
        (SLOWER, Rates(100, 0.5), 0.25, 0.20),
    ],
)
def test_the_judge_itself_needs_about_as_long(kpi: KpiParameters, rates: Rates, traffic: float, harm: float) -> None:
    """A phase of the planned length proves the harm about as often as planned: within twenty-five points."""
    for wanted in (0.5, 0.9):
        minutes = minutes_until(kpi, ALPHA, rates, traffic, harm, wanted)

        assert minutes is not None
        assert simulated(kpi, rates, Stretch(minutes, traffic), harm, 120) == pytest.approx(wanted, abs=0.25)


@given(
    kpi=st.sampled_from([PAYMENTS, CONVERSION, VALUES]),
    per_minute=st.floats(1, 5000),
    traffic=st.floats(0.02, 0.6),
    minutes=st.floats(1, 300),
)
@settings(max_examples=25, deadline=None)
def test_more_time_and_more_harm_prove_more(
    kpi: KpiParameters, per_minute: float, traffic: float, minutes: float
) -> None:
    """The smallest harm that is proven shrinks, or stays, as a phase grows; a larger one is never harder to prove."""
    rates = Rates(per_minute, 0.5 if kpi is VALUES else 0.9)

    short = smallest_harm(kpi, ALPHA, rates, [Stretch(minutes, traffic)], 0.5)
    long = smallest_harm(kpi, ALPHA, rates, [Stretch(3 * minutes, traffic)], 0.5)

    assert short is None or (long is not None and long <= short + 1e-6)
    if short is not None and short < 0.5:
        stretch = [Stretch(minutes, traffic)]
        assert power(kpi, ALPHA, rates, stretch, 1.5 * short) >= power(kpi, ALPHA, rates, stretch, short) - 1e-6


def test_a_short_small_phase_of_a_small_shop_proves_nothing() -> None:
    """Five minutes at 5 % of two orders a minute cannot prove even a total loss; later phases can, with all before."""
    found = reaches(PAYMENTS, ALPHA, Rates(2, 0.97), [*PHASES, Stretch(30, 1.0)])

    assert [reach.phase for reach in found] == [0, 1, 2]
    assert found[0].smallest_harm == (None, None)
    assert found[2].smallest_harm[0] is not None
    assert found[0].minutes[0] is not None
    assert found[0].minutes[0] > 60 * 24


def test_a_mean_proves_nothing_before_each_side_has_enough_values() -> None:
    """However little values vary: under thirty a side the judge says nothing, and the plan promises no more."""
    sharp = Rates(20.0, 0.02)

    assert power(VALUES, ALPHA, sharp, [Stretch(29.0, 0.05)], 0.5) == 0.0
    assert power(VALUES, ALPHA, sharp, [Stretch(29.0, 0.05), Stretch(1.0, 0.25)], 0.5) > 0.9


def test_conversions_that_come_late_make_a_phase_see_less() -> None:
    """With a lag as long as the phase, the smallest harm is larger than with none."""
    at_once = smallest_harm(CONVERSION, ALPHA, Rates(2000, 0.05), [Stretch(20, 0.25)], 0.5)
    late = smallest_harm(CONVERSION, ALPHA, Rates(2000, 0.05, lag_minutes=20.0), [Stretch(20, 0.25)], 0.5)

    assert at_once is not None
    assert late is not None
    assert late > 1.2 * at_once


def plan(path: Path, *options: str) -> Result:
    """What `canary plan` prints."""
    return CliRunner().invoke(canary, ["plan", "--config.file", str(path), *options])


def policy(folder: Path) -> Path:
    """A bare policy on a database in the folder."""
    path = folder / "canary.yaml"
    path.write_text("service: shop\ndatabase: {url: 'sqlite:///shop.db'}\n")
    return path


async def count(data: ShopData, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    """How many rows there are, asked plainly."""
    rows = await data.run(sa.select(sa.func.count()).select_from(table).where(*conditions))
    return int(rows[0][0])


async def test_rates_come_from_the_shops_own_last_days(lite: ShopData, tmp_path: Path) -> None:
    """Units a minute, ratios and spreads are those of the rows in the database."""
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    await fill(lite, now, 7200)
    visits, carts, orders = [await count(lite, table) for table in (VISITS, CARTS, ORDERS)]
    checkouts = await count(lite, CARTS, CARTS.c.checkout_started_at.is_not(None))

    options = ("--until", "2026-03-01T12:00:00Z", "--days", "1")
    output = await asyncio.to_thread(plan, policy(tmp_path), *options, "--format", "json")
    table = await asyncio.to_thread(plan, policy(tmp_path), *options, "--plot", str(tmp_path / "plan.png"))

    found = {line["kpi"]: line["rates"] for line in map(json.loads, output.stdout.splitlines())}
    assert found["conversion_rate"]["per_minute"] == pytest.approx(visits / 120)
    assert found["conversion_rate"]["ratio"] == pytest.approx(orders / visits)
    assert found["cart_abandonment_rate"]["ratio"] == pytest.approx(1 - orders / carts)
    assert found["checkout_completion_rate"]["per_minute"] == pytest.approx(checkouts / 120)
    assert found["payment_success_rate"]["ratio"] == pytest.approx(0.9, abs=0.02)
    assert found["customer_satisfaction"]["ratio"] == pytest.approx(math.sqrt(2) / 3, abs=0.03)
    assert found["average_order_value"]["ratio"] == pytest.approx(0.55, abs=0.1)
    assert table.exit_code == 0
    assert "3 (50%)" in table.output
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


async def test_rates_are_the_same_in_a_local_zone(data: ShopData, database: str, tmp_path: Path) -> None:
    """The same rows, stored five hours ahead of UTC without a zone, give the same rates under `database.timezone`."""
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    await fill(data, now, 1800)
    path = tmp_path / "canary.yaml"
    url = database.replace("+aiosqlite", "")
    options = ("--until", "2026-03-01T12:00:00Z", "--days", "0.1", "--format", "json")
    path.write_text(f"service: shop\ndatabase: {{url: '{url}'}}\n")
    in_utc = await asyncio.to_thread(plan, path, *options)

    await data.store_in_local_time("Asia/Karachi", 5)
    path.write_text(f"service: shop\ndatabase: {{url: '{url}', timezone: Asia/Karachi}}\n")
    local = await asyncio.to_thread(plan, path, *options)

    assert "conversion_rate" in in_utc.output
    assert local.output == in_utc.output


async def test_a_kpi_without_rows_is_named(lite: ShopData, tmp_path: Path) -> None:
    """What nothing is known about is said, not left out."""
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    await fill(lite, now, 600)
    await lite.run(FEEDBACK.delete())

    result = await asyncio.to_thread(plan, policy(tmp_path), "--until", (now + timedelta(hours=1)).isoformat())

    assert "Nothing is known about customer_satisfaction" in " ".join(result.output.split())


def test_given_rates_need_no_database(tmp_path: Path) -> None:
    """With `--given` nothing is looked up, and a phase that can prove nothing is said plainly."""
    given_rates = ("--given", "payment_success_rate=2:97%", "--given", "average_order_value=20:0.5")

    result = plan(policy(tmp_path), *given_rates)

    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert "Phase 1 (5% for 5m) can prove nothing about average_order_value, payment_success_rate" in words


def test_a_complement_is_given_and_shown_as_it_is_published(tmp_path: Path) -> None:
    """Seventy percent abandonment is given and shown; the harm is its rise, and not the fall of the other 30 %."""
    options = ("--format", "json")

    abandoned = plan(policy(tmp_path), "--given", "cart_abandonment_rate=200:70%", *options)
    completed = plan(policy(tmp_path), "--given", "conversion_rate=200:30%", *options)

    for complement, conversion in zip(abandoned.output.splitlines(), completed.output.splitlines(), strict=True):
        shown, judged = json.loads(complement), json.loads(conversion)
        assert (shown["rates"]["ratio"], judged["rates"]["ratio"]) == (pytest.approx(0.7), pytest.approx(0.3))
        for rise, fall in zip(shown["smallest_harm"], judged["smallest_harm"], strict=True):
            assert rise is None if fall is None else rise == pytest.approx(fall * 0.3 / 0.7, rel=0.2)


@pytest.mark.parametrize(
    "given_rates", ["payment=2:97%", "payment_success_rate=2", "payment_success_rate=0:97%", "payment_success_rate=2:x"]
)
def test_faulty_given_rates_are_refused(tmp_path: Path, given_rates: str) -> None:
    """What cannot be a rate is refused with what was expected."""
    result = plan(policy(tmp_path), "--given", given_rates)

    assert result.exit_code == 2
    assert "expected" in result.output


def test_the_plan_knows_kpis_that_hold() -> None:
    """KPIs that hold are planned for like those that roll back."""
    holding = KpiParameters("values", Kind.MEAN, tolerance=0.10, action=Action.HOLD)

    assert reaches(holding, ALPHA, Rates(50, 0.5), PHASES) == reaches(VALUES, ALPHA, Rates(50, 0.5), PHASES)

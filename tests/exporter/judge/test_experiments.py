"""Experiments judged from the order database: by version, by a column of their own, with more than two variants."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from canary.policy.database.section import DEFAULT_EVENTS
from canary.policy.experiments import Experiment, Variant
from canary.policy.model import Policy
from canary.rollout.experiments import Trial, Weights
from canary.rollout.kinds import Kind
from exporter.evidence.judge import Verdict
from exporter.judge.experiments import Arm
from exporter.publish.collector import ExporterCollector
from exporter.refresher import Refresher
from tests.support.clock import FakeClock
from tests.support.databases.exporting import policy_for, refresher_on, settle
from tests.support.databases.shopdata import ORDERS, PAYMENTS, VISITS, ShopData
from tests.support.receiving.entries import entry as entry_of
from tests.support.receiving.entries import rollout_of

MINUTES = 50


async def shop_history(data: ShopData, clock: FakeClock, rates: dict[str, tuple[float, float]]) -> None:
    """Visits of the last minutes: of each variant a share, which buys with a probability."""
    luck = random.Random(7)
    visits: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []
    names, shares = list(rates), [share for share, _ in rates.values()]
    for number in range(MINUTES * 60):
        variant = luck.choices(names, shares)[0]
        at = clock.now() - timedelta(minutes=MINUTES) + timedelta(seconds=number)
        visits.append({"id": number + 1, "version": variant, "created_at": at})
        if luck.random() < rates[variant][1]:
            orders.append(
                {"visit_id": number + 1, "version": variant, "created_at": at, "total": 10, "currency": "EUR"}
            )
    async with data.engine.begin() as connection:
        await connection.execute(VISITS.insert(), visits)
    await data.insert_many(ORDERS, orders)


def with_experiment(policy: Policy, **variants: Variant) -> Policy:
    """A policy with one experiment on conversion."""
    experiment = Experiment(variants=variants, metrics=("conversion_rate",), guardrails=("conversion_rate",))
    return replace(policy, experiments={"checkout": experiment})


def begun(refresher: Refresher, clock: FakeClock, **weights: float) -> Trial:
    """The experiment as the journal has it, running since before the first visit."""
    at = clock.now() - timedelta(minutes=MINUTES)
    trial = Trial("checkout", at, (Weights(at, weights),))
    refresher.experiments.trials = {"checkout": trial}
    return trial


async def test_a_harmful_treatment_is_told_by_its_version(lite: ShopData, clock: FakeClock) -> None:
    """A treatment that loses half the orders fails, with bounds around the odds put in; no winner."""
    await shop_history(lite, clock, {"v1.0": (0.5, 0.3), "v2.0": (0.5, 0.15)})
    arms = {"control": Variant(weight=50, version="v1.0"), "treatment": Variant(weight=50, version="v2.0")}
    policy = with_experiment(policy_for(lite.url), **arms)
    async with refresher_on(policy, clock) as refresher:
        begun(refresher, clock, control=50, treatment=50)
        await settle(refresher, clock)

        (arm,) = refresher.snapshot.experiments

    kpi = arm.evidence.kpis["conversion_rate"]
    assert (arm.variant, kpi.verdict, arm.better) == ("treatment", Verdict.FAIL, frozenset())
    odds = 0.15 / 0.85 / (0.3 / 0.7)
    assert kpi.lower < odds - 1 < kpi.upper
    assert arm.values["conversion_rate"]["stable"] == pytest.approx(0.3, abs=0.03)


async def test_an_event_whose_table_is_missing_brings_nobody_in(lite: ShopData, clock: FakeClock) -> None:
    """A shop without the table of visits has an experiment on its payments judged, as it has a rollout."""
    paid = [
        {
            "id": number, "order_id": None, "version": ("v1.0", "v2.0")[number % 2], "amount": 5,
            "status": "succeeded" if number % 2 == 0 or number % 4 == 1 else "failed",
            "created_at": clock.now() - timedelta(minutes=MINUTES) + timedelta(seconds=3 * number),
        }
        for number in range(900)
    ]  # fmt: skip
    await lite.insert_many(PAYMENTS, paid)
    await lite.run(sa.text("DROP TABLE visits"))
    arms = {"control": Variant(weight=50, version="v1.0"), "treatment": Variant(weight=50, version="v2.0")}
    kpi = "payment_success_rate"
    policy = policy_for(lite.url)
    experiment = Experiment(variants=arms, metrics=(kpi,), guardrails=(kpi,))
    policy = replace(policy, kpis={kpi: policy.kpis[kpi]}, experiments={"checkout": experiment})
    async with refresher_on(policy, clock) as refresher:
        begun(refresher, clock, control=50, treatment=50)
        await settle(refresher, clock)

        (arm,) = refresher.snapshot.experiments

    assert arm.evidence.kpis[kpi].canary_units > 100
    assert arm.evidence.kpis[kpi].log10_evidence > 2.0


async def test_a_better_treatment_is_announced(lite: ShopData, clock: FakeClock) -> None:
    """A treatment proven better than its control says so, and does not fail."""
    await shop_history(lite, clock, {"v1.0": (0.5, 0.15), "v2.0": (0.5, 0.3)})
    arms = {"control": Variant(weight=50, version="v1.0"), "treatment": Variant(weight=50, version="v2.0")}
    async with refresher_on(with_experiment(policy_for(lite.url), **arms), clock) as refresher:
        begun(refresher, clock, control=50, treatment=50)
        await settle(refresher, clock)

        (arm,) = refresher.snapshot.experiments

    assert arm.better == {"conversion_rate"}
    assert arm.evidence.kpis["conversion_rate"].verdict is Verdict.PASS


async def test_a_column_tells_three_variants(lite: ShopData, clock: FakeClock) -> None:
    """With a variant column each treatment is compared with the control, whatever version served it."""
    await shop_history(lite, clock, {"control": (0.4, 0.3), "blue": (0.3, 0.3), "green": (0.3, 0.1)})
    for table in ("visits", "orders"):
        await lite.run(sa.text(f"ALTER TABLE {table} ADD COLUMN variant VARCHAR(16)"))
        await lite.run(sa.text(f"UPDATE {table} SET variant = version, version = 'v1.0'"))
    events = {**DEFAULT_EVENTS}
    for event in ("visits", "orders"):
        events[event] = replace(events[event], variant="variant")
    arms = {"control": Variant(weight=40), "blue": Variant(weight=30), "green": Variant(weight=30)}
    async with refresher_on(with_experiment(policy_for(lite.url, events=events), **arms), clock) as refresher:
        begun(refresher, clock, control=40, blue=30, green=30)
        await settle(refresher, clock)

        found = {arm.variant: arm for arm in refresher.snapshot.experiments}

    verdicts = {name: arm.evidence.kpis["conversion_rate"].verdict for name, arm in found.items()}
    assert verdicts["green"] is Verdict.FAIL
    assert verdicts["blue"] is not Verdict.FAIL


async def test_a_share_that_is_not_the_weight_is_noticed(lite: ShopData, clock: FakeClock) -> None:
    """Half the visits on a treatment that should have a tenth prove that assignment or recording is broken."""
    await shop_history(lite, clock, {"v1.0": (0.5, 0.3), "v2.0": (0.5, 0.3)})
    arms = {"control": Variant(weight=90, version="v1.0"), "treatment": Variant(weight=10, version="v2.0")}
    async with refresher_on(with_experiment(policy_for(lite.url), **arms), clock) as refresher:
        begun(refresher, clock, control=90, treatment=10)
        await settle(refresher, clock)

        (arm,) = refresher.snapshot.experiments

    assert arm.evidence.mismatch is not None
    assert arm.evidence.mismatch.verdict is Verdict.FAIL


async def test_a_stopped_experiment_is_shown_as_it_was(lite: ShopData, clock: FakeClock) -> None:
    """What happens after the stop is nobody's evidence."""
    await shop_history(lite, clock, {"v1.0": (0.5, 0.3), "v2.0": (0.5, 0.15)})
    arms = {"control": Variant(weight=50, version="v1.0"), "treatment": Variant(weight=50, version="v2.0")}
    async with refresher_on(with_experiment(policy_for(lite.url), **arms), clock) as refresher:
        trial = begun(refresher, clock, control=50, treatment=50)
        stopped_at = trial.started_at + timedelta(minutes=10)
        refresher.experiments.trials = {"checkout": replace(trial, stopped_at=stopped_at)}
        await settle(refresher, clock)

        (arm,) = refresher.snapshot.experiments

    units = arm.evidence.kpis["conversion_rate"]
    assert not arm.running
    assert units.canary_units + units.stable_units == pytest.approx(600, abs=5)


async def test_the_series_name_experiment_variant_and_kpi(lite: ShopData, clock: FakeClock) -> None:
    """Rules and dashboards find each number by experiment, variant and KPI."""
    await shop_history(lite, clock, {"v1.0": (0.5, 0.3), "v2.0": (0.5, 0.15)})
    arms = {"control": Variant(weight=50, version="v1.0"), "treatment": Variant(weight=50, version="v2.0")}
    async with refresher_on(with_experiment(policy_for(lite.url), **arms), clock) as refresher:
        begun(refresher, clock, control=50, treatment=50)
        await settle(refresher, clock)
        registry = CollectorRegistry()
        registry.register(ExporterCollector(lambda: refresher.snapshot, clock))

        labels = {"service": "shop", "experiment": "checkout", "variant": "treatment", "kpi": "conversion_rate"}

        failed = registry.get_sample_value("canary_experiment_verdict", {**labels, "verdict": "fail"})
        units = registry.get_sample_value("canary_experiment_units", {**labels, "role": "control"})

    assert failed == 1
    assert units is not None
    assert units > 1000


async def test_a_rollout_of_the_same_versions_sets_the_share(lite: ShopData, clock: FakeClock) -> None:
    """The share of a rollout that releases the very versions that tell the variants is right, and stays so after it.

    While one of other versions is the newest and that share is not known, the share is in doubt for nobody.
    """
    await shop_history(lite, clock, {"v1.0": (0.5, 0.3), "v2.0": (0.5, 0.3)})
    arms = {"control": Variant(weight=90, version="v1.0"), "treatment": Variant(weight=10, version="v2.0")}
    async with refresher_on(with_experiment(policy_for(lite.url), **arms), clock) as refresher:
        trial = begun(refresher, clock, control=90, treatment=10)
        started = {"stable": "v1.0", "canary": "v2.0", "traffic": [0.5, 1.0], "durations_seconds": [3600.0, 60.0]}
        this = rollout_of([entry_of("r-1", Kind.STARTED, trial.started_at, "ann", "", started)])
        other = {**started, "stable": "v2.0", "canary": "v3.0"}
        later = rollout_of([entry_of("r-2", Kind.STARTED, trial.started_at, "ann", "", other)])
        arms_found: list[Arm] = []
        for rollout in (later, this, later):  # by whom this one was not seen, in it, and after it
            refresher.rollout = rollout
            clock.advance(60)
            await settle(refresher, clock)
            arms_found += refresher.snapshot.experiments

    unknown, during, after = (arm.evidence.mismatch for arm in arms_found)
    assert unknown is None
    for mismatch in (during, after):
        assert mismatch is not None
        assert mismatch.verdict is not Verdict.FAIL
    assert arms_found[1].evidence.kpis["conversion_rate"].canary_units > 1000


async def test_harm_is_found_also_where_the_share_is_unknown(lite: ShopData, clock: FakeClock) -> None:
    """A treatment that half of the customers meet, and not a tenth, has more orders than its weight lets expect.

    As nobody knows its share, orders are held against the control's alone.
    """
    await shop_history(lite, clock, {"v1.0": (0.5, 0.3), "v2.0": (0.5, 0.15)})
    arms = {"control": Variant(weight=90, version="v1.0"), "treatment": Variant(weight=10, version="v2.0")}
    async with refresher_on(with_experiment(policy_for(lite.url), **arms), clock) as refresher:
        trial = begun(refresher, clock, control=90, treatment=10)
        other = {"stable": "v2.0", "canary": "v3.0", "traffic": [0.5, 1.0], "durations_seconds": [3600.0, 60.0]}
        found: list[Verdict] = []
        for rollout in (None, rollout_of([entry_of("r-2", Kind.STARTED, trial.started_at, "ann", "", other)])):
            refresher.rollout = rollout
            clock.advance(60)
            await settle(refresher, clock)
            (arm,) = refresher.snapshot.experiments
            found.append(arm.evidence.kpis["conversion_rate"].verdict)

    assert found == [Verdict.HOLD, Verdict.FAIL]
    assert arm.evidence.mismatch is None

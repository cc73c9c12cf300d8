"""The judge gets what the policy says, and nobody's alpha is given away."""

from dataclasses import replace

import pytest

from canary.policy.database.section import DEFAULT_EVENTS, Event
from canary.policy.kpis import Conversion, Mean, Success
from canary.policy.model import Policy
from exporter.evidence.judge import Action, Harm, Kind
from exporter.judge.parameters import entry_event, judge_parameters, kpi_parameters
from tests.support.databases.exporting import policy_for

POLICY = policy_for("sqlite:///shop.db")


def _with(policy: Policy, **kpis: Conversion | Success | Mean) -> Policy:
    return replace(policy, kpis=kpis)


def test_kpis_of_the_windowed_rule_take_no_alpha() -> None:
    """A KPI with `judge: threshold` is not the judge's, and leaves the others the whole alpha."""
    payments = Success(kind="success", of="payments", action="rollback")
    windowed = Success(kind="success", of="payments", judge="threshold", action="rollback")

    alone = judge_parameters(_with(POLICY, payments=payments), 0.0)
    beside = judge_parameters(_with(POLICY, payments=payments, windowed=windowed), 0.0)

    assert [kpi.name for kpi in beside.kpis] == ["payments"]
    assert beside.alpha_of(beside.kpis[0]) == alone.alpha_of(alone.kpis[0])


def test_the_policys_numbers_reach_the_judge() -> None:
    """Start, alpha, bucket, lateness and the tolerated mismatch are the policy's own."""
    policy = replace(
        POLICY,
        evidence=replace(POLICY.evidence, alpha=0.003, bucket=7, mismatch=0.31),
        database=replace(POLICY.database, lateness=77),
    )

    parameters = judge_parameters(policy, 12.5)

    assert (parameters.started_at, parameters.alpha, parameters.bucket_seconds) == (12.5, 0.003, 7)
    assert (parameters.lateness_seconds, parameters.mismatch_tolerance) == (77, 0.31)


@pytest.mark.parametrize(("better", "harm"), [("higher", Harm.DECREASE), ("lower", Harm.INCREASE)])
def test_a_mean_is_harmed_on_its_worse_side(better: str, harm: Harm) -> None:
    """A longer checkout is harm, a higher order value is none."""
    parameters = kpi_parameters(POLICY, "x", Mean(kind="mean", of="orders", better=better))  # type: ignore[arg-type]  # a literal

    assert (parameters.kind, parameters.harm) == (Kind.MEAN, harm)


def test_a_complement_is_judged_on_its_conversions() -> None:
    """Cart abandonment is the same test as cart completion, with the same tolerance."""
    completion = Conversion(kind="conversion", from_="carts", to="orders", tolerance=0.2, action="hold")

    judged = kpi_parameters(POLICY, "x", replace(completion, complement=True))

    assert judged == kpi_parameters(POLICY, "x", completion)
    assert (judged.kind, judged.harm, judged.action) == (Kind.CONVERSION, Harm.DECREASE, Action.HOLD)


def test_a_floor_knows_when_pending_is_failed() -> None:
    """A payment that never settles must not be left out of a floor."""
    policy = replace(POLICY, evidence=replace(POLICY.evidence, pending_timeout=123.0))

    parameters = kpi_parameters(policy, "x", Success(kind="success", of="payments", floor=0.9))

    assert (parameters.floor, parameters.pending_timeout_seconds) == (0.9, 123.0)


def test_customers_come_in_with_what_kpis_descend_from() -> None:
    """Payments alone come of visits; an event that no KPI has to do with is nobody's entry, as nobody reads it."""
    payments = _with(POLICY, payments=Success(kind="success", of="payments"))
    calls = replace(payments, database=replace(payments.database, events={"calls": Event()} | DEFAULT_EVENTS))

    assert entry_event(payments) == "visits"
    assert entry_event(calls) == "visits"


def test_who_fails_to_pay_has_come_in_although_no_order_came_of_it() -> None:
    """Where orders and attempts stand side by side, as in shops that keep no visits, it is the attempts that count."""
    events = {"orders": Event(unit="address"), "payments": Event(unit="address", outcome="status")}
    policy = _with(POLICY, value=Mean(kind="mean", of="orders"), payments=Success(kind="success", of="payments"))
    policy = replace(policy, database=replace(POLICY.database, events=events))

    assert entry_event(policy) == "payments"

"""Who hears of what."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertmanager.receiver.act.telling.messages import Facts, message
from alertmanager.receiver.act.telling.routing import Routing
from canary.policy.kpis import Success
from canary.policy.load import load_policy
from canary.policy.model import Audience, Notify, Policy
from canary.rollout.commands.commands import RollBack
from canary.rollout.entries import Advanced, Entry, Held, RollbackDecided
from tests.support.documents.pages import DOCS, blocks_of
from tests.support.receiving.deciding import Deciding

AT = datetime(2026, 3, 3, 12, tzinfo=UTC)
POLICY = Policy(
    service="shop",
    kpis={"payment_success_rate": Success(kind="success", of="payments", owner="payments")},
    notify=Notify(on=("advance",), audiences={"stakeholders": Audience(), "payments": Audience(on=())}),
)


def held(kpi: str) -> Held:
    """A hold because of a KPI."""
    return Held(rollout="r", at=AT, actor="alertmanager", cause="CanaryKpiHeld", kpi=kpi)


@pytest.mark.parametrize(
    ("entry", "hear"),
    [
        (Advanced(rollout="r", at=AT, actor="promoter", phase=1), {""}),
        (RollbackDecided(rollout="r", at=AT, actor="ada", cause="manual"), {"stakeholders"}),
        (held("payment_success_rate"), {"payments"}),
        (held("conversion_rate"), set()),
    ],
    ids=["occasion", "rollback", "owner", "of nobody"],
)
def test_each_audience_hears_of_its_own(entry: Entry, hear: set[str]) -> None:
    """By occasion; an owner of what is decided because of their KPI; a name that the policy has not, of nothing."""
    routing = Routing.of(POLICY)

    assert {one for one in ("", "stakeholders", "payments", "nobody") if routing.wants(one, entry)} == hear
    assert routing.anybody(entry) is bool(hear)


async def test_a_message_says_where_to_look() -> None:
    """Owner, runbook, page, dashboard; and the report, once the rollout is over."""
    async with Deciding.about(POLICY) as deciding:
        rollback = RollBack(
            actor="alertmanager", reason="low", cause="CanaryPaymentSuccessLow", kpi="payment_success_rate"
        )
        entry = await deciding.store.propose(None, rollback)
        facts = Facts(
            "shop",
            page="https://canary.example",
            runbooks="https://runbooks.example/",
            dashboards="https://grafana.example",
            owners={"payment_success_rate": "payments"},
        )
        lines = message(entry, deciding.rollout, facts, "key").body.splitlines()

    assert "KPI: payment success rate, owner payments." in lines
    assert "Runbook: https://runbooks.example/CanaryPaymentSuccessLow.md" in lines
    assert "Page: https://canary.example/" in lines
    dashboard = next(line for line in lines if line.startswith("Dashboard: "))
    assert dashboard.startswith("Dashboard: https://grafana.example/d/kpi-canary-rollout?var-service=shop&var-rollout=")
    assert not any(line.startswith("Report:") for line in lines)


def test_the_documented_policy_routes_as_the_page_says(tmp_path: Path) -> None:
    """The owner of payments hears of what payments lead to, and of no start; stakeholders hear of starts."""
    [block] = [
        one for one in blocks_of(DOCS / "release" / "before-a-release.md") if (one.language, one.name) == ("yaml", "")
    ]
    (tmp_path / "canary.yaml").write_text(f"service: shop\n{block.text}", encoding="utf-8")

    routing = Routing.of(load_policy(tmp_path / "canary.yaml"))

    assert routing.wants("payments-team", held("payment_success_rate"))
    assert routing.occasions["payments-team"] == frozenset()
    assert routing.occasions["stakeholders"] == {"start", "rollback", "promotion"}

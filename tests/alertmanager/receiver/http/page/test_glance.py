"""One service in the list of all."""

from alertmanager.receiver.answers import Finishing
from alertmanager.receiver.http.page.glance import glance, worst
from alertmanager.receiver.http.page.view import KpiRow
from canary.rollout.state import State
from tests.support.receiving import pageview


def test_a_running_rollout_in_a_line() -> None:
    """State, versions, the weight in force, the worst KPI, the phase and its time, alerts, what it waits for."""
    found = glance(pageview.RUNNING, pageview.view().kpis, 0.25)

    assert found == {
        "Service": "shop",
        "State": "In progress",
        "Release": "v2.0 against v1.9",
        "Canary's weight": "25%",
        "Worst KPI": "conversion rate -3.1%, not decided yet (e-value 10^0.8 of 10^2.0)",
        "Phase": "2 of 4, 3m left",
        "Alerts": "CanaryElevatedErrorRate, CanarySlower",
        "Waits for": "the phase's time, until 2026-03-01 12:03:00 UTC",
    }


def test_a_finish_has_its_step_and_what_it_waits_for() -> None:
    """Customers still move while a release is finished, and it may be that somebody is waited for."""
    steps: Finishing = {
        "step": 2, "steps": [0.25, 0.5, 1.0], "step_seconds": 60.0, "frozen": True, "unverified": False,
    }  # fmt: skip
    waiting = {**pageview.RUNNING, "waiting_for": "the stable servers to run v2.0", "waiting_reason": "servers"}
    finishing = {**waiting, "rollout": {**pageview.ROLLOUT, "state": State.FINISHING, "finishing": steps}}

    found = glance(finishing, pageview.view().kpis, 0.5)  # type: ignore[arg-type]

    assert found["Phase"] == "finish, step 2 of 3, frozen"
    assert found["Waits for"] == "the stable servers to run v2.0"
    assert found["Worst KPI"] == ""


def test_before_and_after_a_rollout_nothing_is_made_up() -> None:
    """No rollout yet, a weight that is unknown, one that is over."""
    over = {**pageview.RUNNING, "waiting_for": "", "rollout": {**pageview.ROLLOUT, "state": State.ROLLED_BACK}}

    assert glance(pageview.IDLE, (), None)["Canary's weight"] == "unknown"
    assert glance(pageview.IDLE, (), None)["Release"] == "none yet"
    found = glance(over, pageview.view().kpis, 0.0)  # type: ignore[arg-type]
    assert [found[title] for title in ("Worst KPI", "Phase", "Waits for")] == ["", "", ""]


def test_the_worst_kpi_is_the_one_nearest_to_proven_harm() -> None:
    """A proof wins over no data, that over one that is undecided; among those the furthest on the way counts."""
    near = KpiRow("near", evidence=1.5, threshold=2.0, verdict="hold")
    far = KpiRow("far", evidence=1.9, threshold=4.0, verdict="hold")
    blind, failed = KpiRow("blind", verdict="blind"), KpiRow("failed", verdict="fail")

    assert worst([]) == ""
    assert worst([far, near]).startswith("near")
    assert worst([near, blind]).startswith("blind")
    assert worst([near, blind, failed]).startswith("failed")
    newer = KpiRow("newer", verdict="of a newer exporter")
    assert worst([KpiRow("well", verdict="pass"), newer]) == "newer —, not judged"

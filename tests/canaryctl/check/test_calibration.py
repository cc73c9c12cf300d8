"""What has been measured of healthy canaries."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from canary.policy import Policy
from canaryctl.check import Status
from canaryctl.check.calibration import check_calibration
from exporter.judge.shop.calibration import Calibration, KpiCalibration, digest_of, trusted_kpis, write

Write = Callable[[str], Policy]


def measured(policy: Policy, failed: int, lower: float) -> Calibration:
    """A thousand pseudo-rollouts, of which some failed by conversion."""
    kpi = KpiCalibration("rollback", 0.005, failed, lower, 0.1, over_dispersion=1.0)
    return Calibration(
        "shop", digest_of(policy), "2026-01-31", 7, 1000, failed, lower, 0.1, 0, 0, {"conversion_rate": kpi}
    )


def test_a_kpi_that_accuses_healthy_canaries_too_often_is_warned_of(write_policy: Write, tmp_path: Path) -> None:
    """Only when that is certain; what fails as often as it may is fine, and is trusted."""
    policy = write_policy("")
    assert check_calibration(policy)[0].status is Status.SKIPPED

    write(measured(policy, 3, 0.001), tmp_path / "calibration.json")
    assert [finding.status for finding in check_calibration(policy)] == [Status.OK]
    assert trusted_kpis(policy) == {"conversion_rate"}

    write(measured(policy, 60, 0.04), tmp_path / "calibration.json")
    [finding] = check_calibration(policy)
    assert finding.status is Status.WARNING
    assert finding.what == "60 of 1,000 healthy canaries would fail, at most 0.5% may"
    assert trusted_kpis(policy) == frozenset()


def test_a_measurement_of_other_rules_is_not_relied_on(write_policy: Write, tmp_path: Path) -> None:
    """Nor is a file that is none: it is said, and trusts nobody."""
    policy = write_policy("")
    other = replace(policy, evidence=replace(policy.evidence, alpha=0.02))
    write(measured(other, 0, 0.0), tmp_path / "calibration.json")
    assert check_calibration(policy)[0].status is Status.WARNING
    assert trusted_kpis(policy) == frozenset()

    (tmp_path / "calibration.json").write_text("[]")
    assert check_calibration(policy)[0].status is Status.FAILED
    assert trusted_kpis(policy) == frozenset()


def test_a_kpi_without_a_unit_is_told_that_it_only_holds(write_policy: Write) -> None:
    """Where no column names the customer a rollback KPI holds, and who wrote `rollback` must hear of it."""
    policy = write_policy("")
    events = {name: replace(event, unit=None) for name, event in policy.database.events.items()}
    blind = replace(policy, database=replace(policy.database, events=events))

    told = [str(finding) for finding in check_calibration(blind) if finding.status is Status.WARNING]

    assert [line.partition(": ")[0] for line in told] == [
        f"kpis.{name}.action" for name, kpi in policy.kpis.items() if kpi.action == "rollback"
    ]
    assert all("no unit" in line for line in told)

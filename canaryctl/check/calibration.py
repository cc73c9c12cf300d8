"""What `canary calibrate` has measured: whether a KPI may roll back that accuses healthy canaries too often."""

from collections.abc import Iterator

from canary.errors import InputError
from canary.finding import Finding, failed, ok, skipped, warning
from canary.policy import Policy
from canary.units import format_ratio
from exporter.judge.shop.calibration import NO_UNIT, calibration_file, read, without_unit


def check_calibration(policy: Policy) -> list[Finding]:
    """One finding for each KPI that may roll back, when the shop has been measured, and for each without customers."""
    return [*_without_unit(policy), *_measured(policy)]


def _without_unit(policy: Policy) -> Iterator[Finding]:
    for name in without_unit(policy):
        remedy = "map the customer (database.events.<event>.unit), or let `canary calibrate` show that it may roll back"
        yield warning(f"kpis.{name}.action", f"no unit: {NO_UNIT}", remedy)


def _measured(policy: Policy) -> list[Finding]:
    place = f"calibration {calibration_file(policy).name}"
    try:
        found = read(policy)
    except InputError as error:
        return [failed(place, error.what, error.remedy)]
    if found is None:
        return [
            skipped(place, "no measurement of this shop", "run `canary calibrate` once there are some days of rows")
        ]
    if not found.is_of(policy):
        return [warning(place, "measured by another policy than this one", "run `canary calibrate` again")]
    findings = []
    for name, kpi in found.kpis.items():
        if kpi.action != "rollback":
            continue
        allowed = format_ratio(kpi.allowed_ratio)
        share = f"{kpi.failed} of {found.rollouts:,} healthy canaries would fail, at most {allowed} may"
        if kpi.proven_too_high:
            remedy = "set `action: hold`, or name the customer (`unit`)"
            findings.append(warning(f"kpis.{name}.action", share, remedy))
        else:
            findings.append(ok(f"kpis.{name}.action", share))
    return findings

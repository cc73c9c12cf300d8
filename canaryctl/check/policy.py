"""The policy file itself."""

from pathlib import Path

from canary.errors import PolicyError
from canary.finding import Finding, failed, ok
from canary.policy import Policy, load_policy
from canary.units import format_ratio


def check_policy(path: Path) -> tuple[Policy | None, list[Finding]]:
    """The policy, or None, and a finding for each of its faults."""
    try:
        policy = load_policy(path)
    except PolicyError as error:
        return None, [failed(fault.place, fault.what, fault.remedy) for fault in error.faults]
    kpis = ", ".join(policy.kpis)
    phases = ", ".join(format_ratio(phase.traffic) for phase in policy.phases)
    return policy, [ok(path.name, f"valid: service {policy.service}, KPIs {kpis}, phases {phases}")]

"""One service in a line, for the list of all that one receiver serves: what a person must see without opening it."""

from collections.abc import Sequence

from alertmanager.receiver import answers
from alertmanager.receiver.http.page.parts.kpitable import e_value, signed
from alertmanager.receiver.http.page.parts.words import RUNNING, STATES, about
from alertmanager.receiver.http.page.view import KpiRow
from canary import names
from canary.units import format_ratio
from canary.verdicts import verdict_words

_ORDER = {verdict: place for place, verdict in enumerate(("fail", "blind", "hold", "", "pass"))}
"""Verdicts, the worst first."""


def glance(status: answers.Status, kpis: Sequence[KpiRow], weight: float | None) -> dict[str, str]:
    """The columns of the list.

    Args:
        weight: the canary's traffic weight as read back; None when it is unknown.
    """
    rollout = status["rollout"]
    running = rollout is not None and rollout["state"] in RUNNING
    return {
        "Service": status["service"],
        "State": STATES[rollout["state"] if rollout else "idle"],
        "Release": f"{rollout['canary']} against {rollout['stable']}" if rollout else "none yet",
        "Canary's weight": "unknown" if weight is None else format_ratio(round(weight, 6)),
        "Worst KPI": worst(kpis) if running else "",
        "Phase": _phase(rollout) if rollout else "",
        "Alerts": ", ".join(name for name in status["prometheus"]["firing"] if name != names.PHASE_COMPLETE),
        "Waits for": status["waiting_for"],
    }


def worst(kpis: Sequence[KpiRow]) -> str:
    """The KPI that is nearest to proven harm, with its change; empty when none is judged."""
    if not kpis:
        return ""
    row = min(kpis, key=lambda one: (_ORDER.get(one.verdict, _ORDER[""]), -_reached(one)))
    said = f"{row.name.replace('_', ' ')} {signed(row.change)}, {verdict_words(row.verdict)}"
    return said if row.evidence is None else f"{said} (e-value {e_value(row.evidence, row.threshold)})"


def _reached(row: KpiRow) -> float:
    """How much of the way to its threshold the evidence of harm has gone."""
    return row.evidence / row.threshold if row.evidence is not None and row.threshold else float("-inf")


def _phase(rollout: answers.Rollout) -> str:
    if finishing := rollout["finishing"]:
        return f"finish, step {finishing['step']} of {len(finishing['steps'])}" + (", frozen" * finishing["frozen"])
    if rollout["state"] not in RUNNING:
        return ""
    left = rollout["phases"][rollout["phase"]]["duration_seconds"] - rollout["phase_elapsed_seconds"]
    time = f"{about(left)} left" if left > 0 else "time is over"
    return f"{rollout['phase'] + 1} of {len(rollout['phases'])}, {time}"

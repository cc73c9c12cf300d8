"""Where each figure of the page comes from: the metric or the query that shows the same, to be asked by hand."""

from collections.abc import Callable, Iterable
from typing import Final

from canary import names
from canary.report.markup import Markup, join, tag

Said = Iterable[tuple[str, str]]
"""What is shown, and the expression or address that shows it."""


def sources(section: str, service: str, rollout: str) -> Markup:
    """What a section's figures can be asked of, folded away."""
    about = f'{names.SERVICE}="{service}",{names.ROLLOUT}="{rollout}"'

    def of_rollout(metric: str, **more: str) -> str:
        return f"{metric}{{{about}{''.join(f',{name}={value!r}' for name, value in more.items())}}}".replace("'", '"')

    rows = _OF[section](of_rollout, f'{names.SERVICE}="{service}"')
    listed = (join(tag("dt", what), tag("dd", tag("code", where))) for what, where in rows)
    return tag(
        "details",
        tag("summary", "Where from", tag("span", f": {section}", class_="hidden")),
        tag("dl", *listed),
        class_="sources",
        id=f"{section}-sources",
    )


Of = Callable[..., str]


def _state(of: Of, service: str) -> Said:
    yield "State and phase", f"{of(names.ROLLOUT_STATE)} == 1 and on (rollout) {of(names.ROLLOUT_PHASE)}"
    yield "Time of the phase", f"{of(names.ROLLOUT_PHASE_ELAPSED_SECONDS)} / {of(names.ROLLOUT_PHASE_DURATION_SECONDS)}"
    yield "Waits for", f"{of(names.ROLLOUT_WAITING)} == 1"
    yield "Price of going on", "the change of conversion rate times average order value, with stable's turnover"
    yield "Traffic weight, wanted", of(names.TRAFFIC_TARGET_RATIO, role="canary")
    yield "Traffic weight, read back", of(names.TRAFFIC_RATIO, role="canary")
    yield "Heartbeat", f"{names.WATCHDOG_LAST_SEEN_TIMESTAMP_SECONDS}{{{service}}}"
    yield "All of it, now", f"{names.API_PREFIX}/status"


def _kpis(of: Of, _service: str) -> Said:
    yield "Canary, stable", of(names.KPI_VALUE)
    yield "Units", of(names.KPI_UNITS, role="canary")
    yield "Change", of(names.KPI_RELATIVE_CHANGE)
    yield "Band", f"{of(names.KPI_RELATIVE_CHANGE_LOWER)} or {of(names.KPI_RELATIVE_CHANGE_UPPER)}"
    yield "Tolerance", of(names.KPI_TOLERANCE)
    yield "e-value, log10", of(names.KPI_EVIDENCE)
    yield "Its threshold, log10", of(names.KPI_EVIDENCE_THRESHOLD)
    yield "Verdict", f"{of(names.KPI_VERDICT)} == 1"
    yield "No unit", of(names.KPI_OVER_DISPERSION)


def _alerts(of: Of, service: str) -> Said:
    yield "Alerts", of("ALERTS", alertstate="firing")
    yield "Silences", "Alertmanager: /api/v2/silences"
    yield "Kept from acting", f"{of(names.ALERTS_SUPPRESSED)} > 0"
    yield "Change freeze", f"{names.FREEZE_ACTIVE}{{{service}}}"


def _experiments(_of: Of, service: str) -> Said:
    yield "Change, band, e-value, verdict", f'{{__name__=~"canary_experiment_.+",{service}}}'
    yield "Experiments", f"{names.API_PREFIX}/experiments"
    yield "Flags", "the policy, and the rollout's traffic weight for those that follow it"


def _proofs(_of: Of, service: str) -> Said:
    yield "Last drill that passed", f"{names.DRILL_LAST_SUCCESS_TIMESTAMP_SECONDS}{{{service}}}"
    yield "Check", "canary check --format json"
    yield "What each phase can prove", "canary plan --format json"


def _journal(_of: Of, _service: str) -> Said:
    yield "Every entry", f"{names.API_PREFIX}/history"


_OF: Final = {
    "state": _state,
    "kpis": _kpis,
    "alerts": _alerts,
    "proofs": _proofs,
    "experiments": _experiments,
    "events": _journal,
    "releases": _journal,
}

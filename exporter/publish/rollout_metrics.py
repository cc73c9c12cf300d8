"""The running rollout's evidence as Prometheus metrics, made anew for every scrape.

Every series carries the rollout's id. A series that ends without a stale marker, because Prometheus was restarted at
that moment, is answered by Prometheus for five minutes more: without the id, one rollout's proven harm would count
against the next.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter

from prometheus_client.core import GaugeMetricFamily, Metric

from canary import names
from canary.names import LABELS
from exporter.evidence.judge import KpiEvidence, RolloutEvidence, TestEvidence, Verdict
from exporter.publish.complement import Change, is_complement, shown_change, shown_tolerance
from exporter.publish.snapshot import Snapshot

_CHANGES: tuple[tuple[str, str, Callable[[Change], float]], ...] = (
    (
        names.KPI_RELATIVE_CHANGE,
        "Estimated relative change of the KPI, canary against stable.",
        attrgetter("estimate"),
    ),
    (
        names.KPI_RELATIVE_CHANGE_LOWER,
        "Lower bound of the relative change, valid at every moment.",
        attrgetter("lower"),
    ),
    (
        names.KPI_RELATIVE_CHANGE_UPPER,
        "Upper bound of the relative change, valid at every moment.",
        attrgetter("upper"),
    ),
)
"""Metric, help text, and which number of the change it is."""

_NUMBERS: tuple[tuple[str, str, Callable[[KpiEvidence], float | None]], ...] = (
    (names.KPI_EVIDENCE, "log10 of the evidence that the canary harms the KPI.", lambda kpi: kpi.log10_evidence),
    (
        names.KPI_EVIDENCE_THRESHOLD,
        "log10 of the evidence at which harm is proven.",
        lambda kpi: kpi.log10_threshold,
    ),
    (
        names.KPI_FLOOR_EVIDENCE,
        "log10 of the evidence that the canary is below the KPI's floor.",
        lambda kpi: kpi.floor.log10_evidence if kpi.floor is not None else None,
    ),
    (names.KPI_FROZEN, "Whether the comparison ended because stable gets no traffic.", lambda kpi: kpi.frozen),
    (names.KPI_JUDGED, "Whether the KPI is judged now.", lambda kpi: kpi.blind_reason is None),
    (
        names.KPI_EXACT_SPENT_RATIO,
        "How much of its alpha the exact half of the KPI's test has spent.",
        lambda kpi: kpi.exact.spent_ratio if kpi.exact is not None else None,
    ),
    (
        names.KPI_EXACT_REPLAYED,
        "Whether looks of the exact half were made up for from rows, as its state was lost or lacked them.",
        lambda kpi: kpi.exact.replayed if kpi.exact is not None else None,
    ),
    (
        names.KPI_OVER_DISPERSION,
        "By what the evidence is divided, as rows of the KPI name no customer; absent where all name one.",
        attrgetter("over_dispersion"),
    ),
)
"""Metric, help text, and how a KPI's number is found; None or nan leaves the series out."""


def rollout_metrics(snapshot: Snapshot, evidence: RolloutEvidence) -> Iterator[Metric]:
    """Everything that is known of the rollout."""
    identity = [snapshot.service, snapshot.rollout]
    yield from _changes(identity, snapshot, evidence)
    yield from _levels(identity, snapshot, evidence)
    yield from _segments(identity, evidence)
    for name, text, of in _NUMBERS:
        yield _by_kpi(identity, name, text, {kpi.name: of(kpi) for kpi in evidence.kpis.values()})
    yield _verdicts(identity, evidence)
    yield _findings(identity, evidence)
    yield _proofs(identity, evidence)
    yield _units(identity, evidence)
    yield _values(identity, snapshot)
    yield from _of_traffic(identity, evidence)


def _of_traffic(identity: list[str], evidence: RolloutEvidence) -> Iterator[Metric]:
    """Whether customers are on the sides on which the router's weight and its hash would have them."""
    text = "log10 of the evidence that the canary's share of visits is not its weight."
    mismatch = None if evidence.mismatch is None else evidence.mismatch.log10_evidence
    found = [(names.TRAFFIC_MISMATCH_EVIDENCE, text, mismatch)]
    text = "Part of the canary's customers whom only their rows, or only the router's hash, have put there."
    found.append((names.TRAFFIC_SIDES_APART_RATIO, text, evidence.sides_apart_ratio))
    for name, text, value in found:
        if value is not None:
            family = GaugeMetricFamily(name, text, labels=[names.SERVICE, *LABELS[name]])
            family.add_metric(identity, value)
            yield family


def _changes(identity: list[str], snapshot: Snapshot, evidence: RolloutEvidence) -> Iterator[Metric]:
    """By how much the KPI differs and may differ, of what is published: a complement is judged on its conversion."""
    changes: dict[str, Change] = {}
    tolerances: dict[str, float | None] = {}
    for kpi in evidence.kpis.values():
        ours, stable = snapshot.policy_kpis[kpi.name], snapshot.role_values.get(kpi.name, {}).get("stable")
        tolerances[kpi.name] = shown_tolerance(ours, stable)
        if kpi.comparison is not None:  # one that only has a floor is compared with nothing
            changes[kpi.name] = shown_change(ours, kpi, stable)
    for name, text, of in _CHANGES:
        yield _by_kpi(identity, name, text, {kpi: of(change) for kpi, change in changes.items()})
    yield _by_kpi(identity, names.KPI_TOLERANCE, "Relative change that the policy lets pass.", tolerances)


_SEGMENT_NUMBERS: tuple[tuple[str, str, Callable[[TestEvidence], float]], ...] = (
    (names.KPI_SEGMENT_CHANGE, "Estimated relative change of the KPI in one segment.", attrgetter("estimate")),
    (
        names.KPI_SEGMENT_EVIDENCE,
        "log10 of the evidence that the canary harms the KPI in one segment.",
        attrgetter("log10_evidence"),
    ),
)


def _segments(identity: list[str], evidence: RolloutEvidence) -> Iterator[Metric]:
    """The KPIs that are looked at by segment; each has a bounded number of them."""
    kpis = [kpi for kpi in evidence.kpis.values() if kpi.segments]
    if not kpis:
        return
    every = [(kpi.name, name, segment) for kpi in kpis for name, segment in kpi.segments.items()]
    for metric, text, of in _SEGMENT_NUMBERS:
        family = GaugeMetricFamily(metric, text, labels=[names.SERVICE, *LABELS[metric]])
        for kpi, name, segment in every:
            value = of(segment)
            if not math.isnan(value):
                family.add_metric([*identity, kpi, name], value)
        yield family
    text = "Whether the KPI fails and harm to this segment is proven."
    proofs = GaugeMetricFamily(names.KPI_SEGMENT_PROOF, text, labels=[names.SERVICE, *LABELS[names.KPI_SEGMENT_PROOF]])
    for kpi, name, segment in every:  # a KPI without a unit has proofs, and only holds
        fails = evidence.kpis[kpi].verdict is Verdict.FAIL and segment.verdict is Verdict.FAIL
        proofs.add_metric([*identity, kpi, name], float(fails))
    yield proofs
    units = GaugeMetricFamily(
        names.KPI_SEGMENT_UNITS,
        "Units of one segment, by role.",
        labels=[names.SERVICE, *LABELS[names.KPI_SEGMENT_UNITS]],
    )
    for kpi, name, segment in every:
        units.add_metric([*identity, kpi, name, "canary"], segment.canary_units)
        units.add_metric([*identity, kpi, name, "stable"], segment.stable_units)
    yield units
    thresholds = {kpi.name: next(iter(kpi.segments.values())).log10_threshold for kpi in kpis}
    yield _by_kpi(
        identity,
        names.KPI_SEGMENT_THRESHOLD,
        "log10 of the evidence at which harm to a segment is proven.",
        thresholds,
    )


def _levels(identity: list[str], snapshot: Snapshot, evidence: RolloutEvidence) -> Iterator[Metric]:
    """Stable next to the shop before the start, of what is published."""
    before: dict[str, float | None] = {}
    now: dict[str, float | None] = {}
    for kpi in evidence.kpis.values():
        if kpi.stable_level is not None:
            turned = is_complement(snapshot.policy_kpis[kpi.name])
            levels = (kpi.stable_level.before, kpi.stable_level.now)
            before[kpi.name], now[kpi.name] = (1.0 - one if turned else one for one in levels)
    text = "What the KPI usually is by now: its worst quarter of database.window before the start, less its daily fall."
    yield _by_kpi(identity, names.KPI_STABLE_BEFORE, text, before)
    text = "What the KPI of stable is since the weight changed; held against the level before."
    yield _by_kpi(identity, names.KPI_STABLE_NOW, text, now)


def _by_kpi(identity: list[str], name: str, text: str, values: Mapping[str, float | None]) -> Metric:
    """One series per KPI; what is not known has none."""
    family = GaugeMetricFamily(name, text, labels=[names.SERVICE, *LABELS[name]])
    for kpi, value in values.items():
        if value is not None and not math.isnan(value):
            family.add_metric([*identity, kpi], float(value))
    return family


def _verdicts(identity: list[str], evidence: RolloutEvidence) -> Metric:
    family = GaugeMetricFamily(
        names.KPI_VERDICT,
        "What may be said about the KPI; one of them is 1.",
        labels=[names.SERVICE, *LABELS[names.KPI_VERDICT]],
    )
    for kpi in evidence.kpis.values():
        for verdict in names.VERDICTS:
            family.add_metric([*identity, kpi.name, verdict], float(kpi.verdict.value == verdict))
    return family


def _findings(identity: list[str], evidence: RolloutEvidence) -> Metric:
    family = GaugeMetricFamily(
        names.KPI_FINDING,
        "Why what looks like harm only holds, or that the canary is slower.",
        labels=[names.SERVICE, *LABELS[names.KPI_FINDING]],
    )
    for kpi in evidence.kpis.values():
        found: set[str | None] = {kpi.hold_reason, "slower" if kpi.slower else None}
        if kpi.stable_level is not None and kpi.stable_level.harmed:
            found.add("stable_harmed")  # also next to another reason: both are worth knowing
        for reason in names.KPI_FINDINGS:
            family.add_metric([*identity, kpi.name, reason], float(reason in found))
    return family


def _proofs(identity: list[str], evidence: RolloutEvidence) -> Metric:
    family = GaugeMetricFamily(
        names.KPI_PROOF,
        "Whether the KPI fails and this test has proven it.",
        labels=[names.SERVICE, *LABELS[names.KPI_PROOF]],
    )
    for kpi in evidence.kpis.values():
        for test in names.TESTS:
            family.add_metric([*identity, kpi.name, test], float(kpi.verdict == "fail" and test in kpi.proofs))
    return family


def _units(identity: list[str], evidence: RolloutEvidence) -> Metric:
    family = GaugeMetricFamily(
        names.KPI_UNITS, "Units that the evidence rests on, by role.", labels=[names.SERVICE, *LABELS[names.KPI_UNITS]]
    )
    for kpi in evidence.kpis.values():
        family.add_metric([*identity, kpi.name, "canary"], kpi.canary_units)
        family.add_metric([*identity, kpi.name, "stable"], kpi.stable_units)
    return family


def _values(identity: list[str], snapshot: Snapshot) -> Metric:
    family = GaugeMetricFamily(
        names.KPI_VALUE, "The KPI since the rollout began, by role.", labels=[names.SERVICE, *LABELS[names.KPI_VALUE]]
    )
    for kpi, roles in snapshot.role_values.items():
        for role, value in roles.items():
            family.add_metric([*identity, kpi, role], value)
    return family

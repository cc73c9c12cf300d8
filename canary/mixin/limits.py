"""Every limit of a policy that a rule compares with, by one bounded name: what the receiver publishes of a rollout.

Rules hold no number of the policy. They compare with `canary_rollout_limit{rollout, limit}`, so that they are the same
for every plan, and a rollout is judged by the limits that were published for it and not by those of whatever rule file
Prometheus has loaded at the moment. Dashboards draw the same numbers.
"""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

from canary import names
from canary.policy import Policy
from canary.policy.gates import ApprovalGate, UrlGate
from canary.policy.release import Phase
from canary.policy.signals import Signals
from canary.units import format_duration, format_ratio

# How far a 90th percentile is from the 95th, and the variance of the share of a sample below its 95th percentile.
_QUANTILE_DISTANCE = 0.05
_QUANTILE_VARIANCE = 0.95 * 0.05


# Two scrapes make a rate; a third shows that it is one, and not a single request between two of them.
_FIRST_SCRAPES = 3
# Each costs as many recorded series as the others.
_SHORTER_WINDOWS = 2


class Limit(NamedTuple):
    """One number that a rule compares with.

    Attributes:
        name: as the label `limit` has it; it ends in the unit.
        value: in base units: seconds, ratios from 0 to 1, counts.
        kpi: the KPI that it is about; empty for all others.
    """

    name: str
    value: float
    kpi: str = ""

    @property
    def text(self) -> str:
        """The value as people write it in a policy."""
        if self.name.endswith("_seconds"):
            return format_duration(self.value)
        return format_ratio(self.value) if self.name.endswith("_ratio") else f"{self.value:g}"


def limits(policy: Policy) -> tuple[Limit, ...]:
    """All limits of a policy, each once."""
    return (*_technical(policy), *_judgement(policy), *_kpis(policy))


def gate_of(phase: Phase) -> str:
    """What a phase waits for when its time is over: one of `names.GATES`."""
    match phase.gate:
        case UrlGate():
            return "url"
        case ApprovalGate():
            # For rules it is one person or several who decide; whose word counts is the receiver's business.
            return "manual"
        case _:
            return phase.gate or "none"


def _technical(policy: Policy) -> Iterator[Limit]:
    signals = policy.signals
    critical, warning, normal, stable = signals.critical, signals.warning, signals.info, signals.against_stable
    yield Limit(names.LIMIT_CRITICAL_ERROR, critical.error_rate)
    yield Limit(names.LIMIT_CRITICAL_RESPONSE, critical.response_time)
    yield Limit(names.LIMIT_CRITICAL_MEMORY, critical.memory)
    yield Limit(names.LIMIT_CRITICAL_CONNECTIONS, critical.database_connection_failures)
    yield Limit(names.LIMIT_WARNING_ERROR, warning.error_rate)
    yield Limit(names.LIMIT_WARNING_RESPONSE, warning.response_time)
    yield Limit(names.LIMIT_NORMAL_ERROR, normal.error_rate)
    yield Limit(names.LIMIT_NORMAL_RESPONSE, normal.response_time)
    if signals.query_duration:
        yield Limit(names.LIMIT_NORMAL_QUERY, normal.query_time)
        yield Limit(names.LIMIT_WARNING_QUERY, warning.query_time)
        if critical.query_time is not None:
            yield Limit(names.LIMIT_CRITICAL_QUERY, critical.query_time)
    yield Limit(names.LIMIT_NORMAL_CPU, normal.cpu)
    yield Limit(names.LIMIT_NORMAL_MEMORY, normal.memory)
    yield Limit(names.LIMIT_NORMAL_DISK, normal.disk)
    yield Limit(names.LIMIT_STABLE_ERROR_FACTOR, stable.error_rate_factor)
    yield Limit(names.LIMIT_STABLE_ERROR_DIFFERENCE, stable.error_rate_difference)
    yield Limit(names.LIMIT_STABLE_RESPONSE_FACTOR, stable.response_time_factor)
    yield Limit(names.LIMIT_STABLE_RESPONSE_DIFFERENCE, stable.response_time_difference)
    yield Limit(names.LIMIT_MINIMUM_REQUESTS, signals.minimum_requests)
    yield Limit(names.LIMIT_QUANTILE_REQUESTS, quantile_requests(policy))
    yield Limit(names.LIMIT_CONFIDENCE, confidence_z(policy))


def _judgement(policy: Policy) -> Iterator[Limit]:
    evidence = policy.evidence
    yield Limit(names.LIMIT_MINIMUM_UNITS, evidence.minimum_units)
    yield Limit(names.LIMIT_STALENESS, evidence.staleness)
    yield Limit(names.LIMIT_MISMATCH, evidence.mismatch)
    yield Limit(names.LIMIT_UNKNOWN_VERSIONS, evidence.unknown)
    # Of six digits: the exporter's evidence and this limit must meet, whatever rounding either has been through.
    yield Limit(names.LIMIT_MISMATCH_EVIDENCE, round(-math.log10(evidence.alpha), 6))
    yield Limit(names.LIMIT_CONVERGE, policy.rollback.converge)
    yield Limit(names.LIMIT_WATCH, policy.rollback.watch)
    yield Limit(names.LIMIT_REMIND, policy.finish.remind)
    if policy.database.replica is not None:
        yield Limit(names.LIMIT_REPLICA_LAG, policy.database.replica.max_lag)


def _kpis(policy: Policy) -> Iterator[Limit]:
    for name, kpi in policy.kpis.items():
        yield Limit(names.LIMIT_KPI_TOLERANCE, kpi.tolerance, name)
        if kpi.floor is not None:
            yield Limit(names.LIMIT_KPI_FLOOR, kpi.floor, name)
        if kpi.target is not None:
            yield Limit(names.LIMIT_KPI_TARGET, kpi.target, name)


def ladder(signals: Signals) -> tuple[float, ...]:
    """The windows over which errors and response times may roll back, in seconds, the shortest first.

    A rollout is judged within a window only once it is older than that. So that harm is seen before `window` is over,
    shorter ones come before it: the first holds three scrapes, and at most one more stands between, because each costs
    as many recorded series as the others.
    """
    first, factor = _FIRST_SCRAPES * signals.shop_interval, 2
    while first * factor**_SHORTER_WINDOWS < signals.window:
        factor *= 2
    shorter = [first * factor**index for index in range(_SHORTER_WINDOWS) if first * factor**index < signals.window]
    return (*shorter, *sorted({signals.window, signals.long_window}))


def confidence_z(policy: Policy) -> float:
    """Wilson's z, such that a canary just at a limit passes it in at most alpha of the rollouts.

    A rollout is looked at as often as it has windows that do not overlap, of each length; alpha is split over them
    (Bonferroni). Those that are shorter than `window` are looked at throughout, too.
    """
    seconds = sum(phase.duration for phase in policy.phases)
    windows = sum(seconds / window for window in ladder(policy.signals))
    return round(NormalDist().inv_cdf(1 - policy.evidence.alpha / max(windows, 1)), 3)


def quantile_requests(policy: Policy) -> int:
    """From how many requests on the 90th percentile of a sample is surely below the 95th of what it is drawn from.

    From then on a 95th percentile is known well enough to compare with it. The share of a sample of n below the 95th
    percentile spreads by sqrt(0.95 * 0.05 / n).
    """
    needed = (confidence_z(policy) / _QUANTILE_DISTANCE) ** 2 * _QUANTILE_VARIANCE
    return max(policy.signals.minimum_requests, math.ceil(needed))

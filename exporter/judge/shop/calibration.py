"""What `canary calibrate` has measured of a shop, kept in a file for those who rely on it: `check`, `plan`, the judge.

How often a healthy canary is rolled back follows from theory where customers are known, and only from the shop's own
past where they are not. A measurement speaks of the policy it was made with: with other KPIs, tolerances, phases or
alpha it says nothing, and whoever reads it is told so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from canary import files
from canary.errors import InputError
from canary.policy.kpis import Mean
from canary.policy.model import Policy
from exporter.judge.parameters import judge_parameters, knows_customers

_MOST_BYTES = 64 * 1024**2
"""Ten KPIs take kilobytes."""
_FORMAT = 1
"""Of the file; a reader refuses any other."""
_RESAMPLES = 2000
"""So many place a 2.5 % quantile within a third of a percent of its rank."""
_WILSON_Z = 1.96
"""Both bounds are of 95 %: what people read an interval as."""


@dataclass(frozen=True)
class HarmFound:
    """What it took to find a harm that was put into the shop's past.

    Attributes:
        harm_ratio: relative loss on the canary.
        rollouts: how many pseudo-rollouts had it.
        found_ratio: in what share of them it was proven.
        median_seconds: from the start, among those; None where it never was.
    """

    harm_ratio: float
    rollouts: int
    found_ratio: float
    median_seconds: float | None


@dataclass(frozen=True)
class KpiCalibration:
    """One KPI's measurement.

    Attributes:
        action: what its proven harm leads to.
        allowed_ratio: its share of alpha.
        failed: pseudo-rollouts of two equal versions in which harm was proven.
        lower_ratio, upper_ratio: how large the share of such rollouts may be, with 95 % confidence.
        over_dispersion: variance of what customers do, over what it would be were all rows independent; None without
            rows.
        harms: what it takes to find some.
    """

    action: str
    allowed_ratio: float
    failed: int
    lower_ratio: float
    upper_ratio: float
    over_dispersion: float | None
    harms: tuple[HarmFound, ...] = ()

    @property
    def proven_too_high(self) -> bool:
        """Whether healthy canaries certainly fail more often than they may."""
        return self.lower_ratio > self.allowed_ratio

    def within_alpha(self, rollouts: int) -> bool:
        """Whether no more of so many healthy canaries were seen to fail than may."""
        return self.failed <= self.allowed_ratio * rollouts


@dataclass(frozen=True)
class Calibration:
    """All that was measured at once.

    Attributes:
        digest: of the part of the policy that it is about.
        made_at: ISO 8601.
        days: how many days the pseudo-rollouts began in.
        rollouts: how many healthy ones there were.
        rolled_back, held, mismatched: how many ended so; *held* by a KPI that may only hold.
    """

    service: str
    digest: str
    made_at: str
    days: int
    rollouts: int
    rolled_back: int
    lower_ratio: float
    upper_ratio: float
    held: int
    mismatched: int
    kpis: Mapping[str, KpiCalibration]

    def is_of(self, policy: Policy) -> bool:
        """Whether it was made with what the policy says now."""
        return self.service == policy.service and self.digest == digest_of(policy)

    def as_json(self) -> dict[str, Any]:
        """As it stands in the file, and as `--format json` prints it."""
        return {"format": _FORMAT, **asdict(self)}


def digest_of(policy: Policy) -> str:
    """A short text that changes with whatever a measurement depends on."""
    parts: tuple[object, ...] = (
        judge_parameters(policy, 0.0),
        [(phase.traffic, phase.duration) for phase in policy.phases],
    )
    by = [(name, kpi.by, kpi.segments) for name, kpi in policy.kpis.items() if not isinstance(kpi, Mean) and kpi.by]
    parts = (*parts, by) if by else parts  # what was measured before there were segments is still good
    if not all(knows_customers(policy, kpi) for kpi in policy.kpis.values()):
        parts = (*parts, "over-dispersed")  # nor did rows without a customer hang together before
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def calibration_file(policy: Policy) -> Path:
    """Where the measurement is kept."""
    return Path(policy.base) / policy.evidence.calibration


def write(calibration: Calibration, path: Path) -> None:
    """Replace the file.

    Raises:
        InputError: it cannot be written.
    """
    try:
        files.replace(path, f"{json.dumps(calibration.as_json(), indent=1)}\n".encode())
    except OSError as error:
        raise InputError(f"expected a file that can be written: {error}", place=str(path)) from error


def read(policy: Policy) -> Calibration | None:
    """The measurement of this service's policy; None where there is none that can be read.

    Raises:
        InputError: the file is no measurement.
    """
    path = calibration_file(policy)
    try:
        data = json.loads(files.read_own(path, _MOST_BYTES))
        if data.pop("format") != _FORMAT:
            return None
        kpis = {
            name: KpiCalibration(**{**found, "harms": tuple(HarmFound(**harm) for harm in found["harms"])})
            for name, found in data.pop("kpis").items()
        }
        return Calibration(**data, kpis=kpis)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected what `canary calibrate` wrote: {error}", place=str(path), remedy="run `canary calibrate` again"
        ) from error


def trusted_kpis(policy: Policy) -> frozenset[str]:
    """The KPIs that a measurement made with this very policy has seen accuse no more healthy canaries than they may.

    They may roll back also where no column names the customer. A file that is none trusts nobody.
    """
    try:
        found = read(policy)
    except InputError:
        return frozenset()
    if found is None or not found.is_of(policy):
        return frozenset()
    return frozenset(name for name, kpi in found.kpis.items() if kpi.within_alpha(found.rollouts))


NO_UNIT = "no column names the customer, so that proven harm holds instead of rolling back"
"""What `check` and `plan` say of such a KPI."""


def without_unit(policy: Policy) -> list[str]:
    """The KPIs that are to roll back and only hold: nobody knows their customers, and no calibration vouches for it."""
    trusted = trusted_kpis(policy)
    return [
        name
        for name, kpi in policy.kpis.items()
        if kpi.action == "rollback"
        and kpi.judge == "evidence"
        and not knows_customers(policy, kpi)
        and name not in trusted
    ]


def interval(failed: Sequence[int], rollouts: Sequence[int], rng: np.random.Generator) -> tuple[float, float]:
    """Between what shares the true one lies with 95 % confidence; *failed* of *rollouts*, day by day.

    Days differ more than redraws of one day do, so whole days are drawn again (bootstrap). Where no day saw any, that
    says nothing of how many there may be, and what counting alone leaves open (Wilson 1927) decides.
    """
    bad, all_ = np.asarray(failed, dtype=np.float64), np.asarray(rollouts, dtype=np.float64)
    count = all_.sum()
    if not count:
        return 0.0, 1.0
    drawn = rng.integers(0, len(bad), (_RESAMPLES, len(bad)))
    shares = bad[drawn].sum(axis=1) / np.maximum(all_[drawn].sum(axis=1), 1.0)
    lower, upper = np.quantile(shares, [0.025, 0.975])
    share, z = bad.sum() / count, _WILSON_Z
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float(max(0.0, min(lower, middle - reach))), float(min(1.0, max(upper, middle + reach)))

"""Small simulated rollouts for the evidence tests."""

from __future__ import annotations

import numpy as np

from exporter.evidence.grid import Floats
from exporter.evidence.judge import (
    ConversionRows,
    EntryRows,
    JudgeParameters,
    Kind,
    KpiParameters,
    MeanRows,
    OutcomeRows,
    RolloutRows,
)

START = 1_700_000_000.0
WEIGHTS = [(START, 0.05), (START + 300, 0.25), (START + 1200, 0.5)]
END = START + 2400

PLAN = JudgeParameters(
    started_at=START,
    kpis=(
        KpiParameters("conversion_rate", Kind.CONVERSION, tolerance=0.10),
        KpiParameters("payment_success_rate", Kind.SUCCESS, tolerance=0.05, floor=0.90, pending_timeout_seconds=900),
        KpiParameters("average_order_value", Kind.MEAN, tolerance=0.10),
    ),
)


def weight_at(times: Floats) -> Floats:
    """The canary's traffic weight at each time of the rollout 5 % / 25 % / 50 %."""
    starts = np.asarray([time for time, _ in WEIGHTS])
    shares = np.asarray([share for _, share in WEIGHTS])
    at: Floats = shares[np.maximum(np.searchsorted(starts, times, side="right") - 1, 0)]
    return at


def rollout(
    rng: np.random.Generator,
    per_minute: float,
    *,
    conversion: float = 0.1,
    harm: float = 0.0,
    lag_seconds: float = 360.0,
    success: float = 0.97,
    canary_success: float | None = None,
    decline_seconds: float = 20.0,
    settle_seconds: float = 20.0,
) -> RolloutRows:
    """Forty minutes of a shop; with the defaults nothing is wrong with the canary."""
    units = rng.poisson(per_minute * (END - START) / 60)
    entered = np.sort(rng.uniform(START, END, units))
    canary = rng.random(units) < weight_at(entered)
    converts = rng.random(units) < conversion * np.where(canary, 1 - harm, 1.0)
    converted = np.where(converts, entered + rng.exponential(lag_seconds, units), np.nan)
    failed = rng.random(units) > np.where(canary, success if canary_success is None else canary_success, success)
    resolved = entered + rng.exponential(1.0, units) * np.where(failed, decline_seconds, settle_seconds)
    return RolloutRows(
        kpis={
            "conversion_rate": ConversionRows(entered, entered, canary, converted),
            "payment_success_rate": OutcomeRows(entered, entered, canary, resolved, failed),
            "average_order_value": MeanRows.single(entered, entered, canary, rng.lognormal(4.0, 0.6, units)),
        },
        entries=EntryRows(entered, canary),
    )

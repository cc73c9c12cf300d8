"""How often the error-rate rule rolls back a canary that does not deserve it, next to a plain threshold.

Whole rollouts are drawn: requests come at random, each fails with a fixed chance, and both rules look every five
seconds over one minute and over five, as CanaryHighErrorRate does. The plain rule is the same without the proof.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench import results
from canary.mixin.limits import confidence_z
from canary.policy import Policy, load_policy

_ROLLOUTS = 2000
"""So many healthy rollouts tell a false alarm in a hundred from one in fifty."""
# A scrape interval; each look is one more chance of a false alarm.
_EVERY_SECONDS = 5
_SEED = 20260301

_WORDS = (
    f"{_ROLLOUTS:,} simulated rollouts of the strategy's 70 minutes each, limit 10 %, at least 50 requests within one "
    "minute or five, looked at every 5 s. Plain: the ratio itself is above the limit. Proven: Wilson's lower bound "
    "is, as in CanaryHighErrorRate. The last column is the proven rule's median time to the rollback."
)
_HEAD = (
    "| canary requests a minute | true error rate | plain | proven | proven after |",
    "|---|---|---|---|---|",
)

Counts = npt.NDArray[np.float64]


def main() -> None:
    """Write one row per traffic and true error rate."""
    policy = load_policy(Path(__file__).parents[2] / "canary.yaml")
    rows = []
    for per_minute in (60, 600, 6000):
        for rate in (0.02, 0.05, 0.09, 0.10, 0.20, 0.50):
            plain, proven, seconds = share(policy, per_minute, rate)
            told = "-" if np.isnan(seconds) else f"{seconds:.0f} s"
            rows.append(f"| {per_minute:,} | {rate:.0%} | {plain:.1%} | {proven:.1%} | {told} |")
    body = "\n".join([_WORDS, "", *_HEAD, *rows])
    results.record("Rolled back because of errors", "python -m bench.errors", body)
    sys.stdout.write(f"{body}\n")


def share(policy: Policy, per_minute: float, rate: float) -> tuple[float, float, float]:
    """Shares of the rollouts that each rule ends, and the median time of the proven one, in seconds."""
    luck = np.random.default_rng(_SEED)
    seconds = sum(phase.duration for phase in policy.phases)
    looks = int(seconds / _EVERY_SECONDS)
    total = luck.poisson(per_minute * _EVERY_SECONDS / 60, (_ROLLOUTS, looks)).astype(float)
    failed = luck.binomial(total.astype(int), rate).astype(float)
    signals, z = policy.signals, confidence_z(policy)
    ends = {"plain": np.full(_ROLLOUTS, np.inf), "proven": np.full(_ROLLOUTS, np.inf)}
    for window in (signals.window, signals.long_window):
        width = int(window / _EVERY_SECONDS)
        requests, errors = _within(total, width), _within(failed, width)
        enough = requests >= signals.minimum_requests
        if window == signals.long_window:
            enough[:, :width] = False
        lower = _wilson(errors, np.maximum(requests, 1), z)
        for name, beyond in (
            ("plain", errors / np.maximum(requests, 1) > signals.critical.error_rate),
            ("proven", lower > signals.critical.error_rate),
        ):
            ends[name] = np.minimum(
                ends[name], _fires(beyond & enough, int(signals.critical.hold_for / _EVERY_SECONDS))
            )
    caught = ends["proven"][np.isfinite(ends["proven"])]
    median = float(np.median(caught)) if caught.size else float("nan")
    return float(np.isfinite(ends["plain"]).mean()), float(np.isfinite(ends["proven"]).mean()), median


def _within(counts: Counts, width: int) -> Counts:
    """Sums of the last *width* looks."""
    sums = np.cumsum(counts, axis=1)
    sums[:, width:] -= sums[:, :-width].copy()
    return sums


def _wilson(errors: Counts, total: Counts, z: float) -> Counts:
    spread = z * np.sqrt(errors * (total - errors) / total + z * z / 4)
    bound: Counts = (errors + z * z / 2 - spread) / (total + z * z)
    return bound


def _fires(condition: npt.NDArray[np.bool_], hold: int) -> Counts:
    """Seconds until the condition has held for *hold* looks; infinite when it never did."""
    held = condition.copy()
    for step in range(1, hold + 1):
        held[:, step:] &= condition[:, :-step]
        held[:, :step] = False
    first = np.argmax(held, axis=1).astype(float)
    return np.where(held.any(axis=1), (first + 1) * _EVERY_SECONDS, np.inf)


if __name__ == "__main__":
    main()

"""What the judge's choices are worth: how extreme a draw is by segment, how soon alpha is spent, how it is split.

What is shipped stands next to what it could have been, on the same rows, by the product's own path.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

from bench.detection.segments import PROVIDERS, Found, judged, policies, rows_of, share_and_minute
from exporter.evidence import cohorts, parameters
from exporter.evidence.exact import randomisation, spending
from exporter.evidence.exact.randomisation import Randomisation
from exporter.evidence.exact.spending import Plan
from exporter.evidence.grid import Floats

HARMS = {
    "all, one in ten, 200 a minute": (200.0, dict.fromkeys(PROVIDERS, 0.1)),
    "all, one in five, 200 a minute": (200.0, dict.fromkeys(PROVIDERS, 0.2)),
    "all, one in two, 2 a minute": (2.0, dict.fromkeys(PROVIDERS, 0.5)),
    "all, one in twenty, 20 a minute": (20.0, dict.fromkeys(PROVIDERS, 0.05)),
    "all, one in ten, 20 a minute": (20.0, dict.fromkeys(PROVIDERS, 0.1)),
    "all, nearly every one, 20 a minute": (20.0, dict.fromkeys(PROVIDERS, 0.97)),
    "the provider with 5 %, nearly every one, 20 a minute": (20.0, {"transfer": 0.97}),
}
"""By name: payments a minute, and how many more fail by provider."""
_SPENT, _WORSE = Plan.spent, Randomisation._worse  # noqa: SLF001 - what is chosen there is measured here


def _by_root(plan: Plan, planned: Floats, waited: Floats, *, by_information: bool) -> Floats:
    with patch.object(spending, "_SOONER", 0.5), patch.object(spending, "_SOONER_RATIO", 1.0):
        return _SPENT(plan, planned, waited, by_information=by_information)


def _by_information(plan: Plan, planned: Floats, waited: Floats, *, by_information: bool) -> Floats:
    del by_information
    return _SPENT(plan, planned, waited, by_information=True)


def _segments_alone(test: Randomisation, weights: Any) -> Floats:
    worse = _WORSE(test, weights)
    return worse[1:] if len(worse) > 1 else worse


def _never(*_: object) -> bool:
    return False


CHOICES: dict[str, tuple[bool, Callable[[], AbstractContextManager[object]]]] = {
    "`by`, as shipped": (True, nullcontext),
    "`by`, without the sum of all": (True, lambda: patch.object(Randomisation, "_worse", _segments_alone)),
    "`by`, without half a failure": (True, lambda: patch.object(randomisation, "_LEAST_VARIANCE", 1e-9)),
    "as shipped": (False, nullcontext),
    "spent by the root of the time": (False, lambda: patch.object(Plan, "spent", _by_root)),
    "spent by information": (False, lambda: patch.object(Plan, "spent", _by_information)),
    "spent from the first failure on": (False, lambda: patch.object(Randomisation, "_is_too_early", _never)),
    "a fifth for the quick half": (False, lambda: patch.object(parameters, "_QUICK", 0.2)),
    "half for the quick half": (False, lambda: patch.object(parameters, "_QUICK", 0.5)),
    "cohorts of at most 20": (False, lambda: patch.object(cohorts, "COHORT_UNITS", (8, 20))),
    "cohorts of at most 80": (False, lambda: patch.object(cohorts, "COHORT_UNITS", (8, 80))),
}
"""By name: whether segments are looked at, and what is otherwise."""


def one(task: tuple[str, str, int]) -> Found:
    """One rollout, judged by one choice."""
    choice, harm, seed = task
    by_segment, otherwise = CHOICES[choice]
    rate, harmed = HARMS[harm]
    joined = rows_of(rate, harmed, [100 + list(HARMS).index(harm), seed])
    with otherwise():
        return judged(policies()[by_segment], joined, f"c{seed}")


def measure(pool: Executor, seeds: int) -> str:
    """The table: how many are rolled back, and when, by each choice."""
    text = [
        f"Payments of four providers, half a minute after the visit, 97 % succeed; {seeds} rollouts each, the same",
        "rows for each choice. Rolled back within 40 minutes, with 95 % intervals, and the median minute.",
        "",
        f"| | {' | '.join(HARMS)} |",
        "|---|" + "---|" * len(HARMS),
    ]
    for choice in CHOICES:
        cells = []
        for harm in HARMS:
            found = list(pool.map(one, [(choice, harm, seed) for seed in range(seeds)], chunksize=max(1, seeds // 20)))
            cells.append(share_and_minute(found))
        text.append(f"| {choice} | {' | '.join(cells)} |")
    return "\n".join(text)

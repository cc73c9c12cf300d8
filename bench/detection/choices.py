"""What two choices of the exact half are worth: how extreme a draw is by segment, and how soon alpha is spent.

What is shipped stands next to what it could have been, on the same rows, by the product's own path.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

from bench.detection.segments import PROVIDERS, Found, judged, policies, rows_of, share_and_minute
from exporter.evidence.exact import randomisation
from exporter.evidence.exact.randomisation import Randomisation
from exporter.evidence.exact.spending import Plan
from exporter.evidence.grid import Floats

RATE = 20.0
HARMS = {
    "all, one in twenty": dict.fromkeys(PROVIDERS, 0.05),
    "all, one in ten": dict.fromkeys(PROVIDERS, 0.1),
    "all, nearly every one": dict.fromkeys(PROVIDERS, 0.97),
    "the provider with 5 %, nearly every one": {"transfer": 0.97},
}
_SPENT, _WORSE = Plan.spent, Randomisation._worse  # noqa: SLF001 - what is chosen there is measured here


def _by_root(plan: Plan, planned: Floats, waited: Floats, *, by_information: bool) -> Floats:
    """Twice the mean of root and information, less the information."""
    mean, information = (_SPENT(plan, planned, waited, by_information=by) for by in (by_information, True))
    return 2.0 * mean - information


def _by_information(plan: Plan, planned: Floats, waited: Floats, *, by_information: bool) -> Floats:
    del by_information
    return _SPENT(plan, planned, waited, by_information=True)


def _segments_alone(test: Randomisation, weights: Any) -> Floats:
    worse = _WORSE(test, weights)
    return worse[1:] if len(worse) > 1 else worse


CHOICES: dict[str, tuple[bool, Callable[[], AbstractContextManager[object]]]] = {
    "`by`, as shipped": (True, nullcontext),
    "`by`, without the sum of all": (True, lambda: patch.object(Randomisation, "_worse", _segments_alone)),
    "`by`, without half a failure": (True, lambda: patch.object(randomisation, "_LEAST_VARIANCE", 1e-9)),
    "spent as shipped": (False, nullcontext),
    "spent by the root of the time": (False, lambda: patch.object(Plan, "spent", _by_root)),
    "spent by information": (False, lambda: patch.object(Plan, "spent", _by_information)),
}
"""By name: whether segments are looked at, and what is otherwise."""


def one(task: tuple[str, str, int]) -> Found:
    """One rollout, judged by one choice."""
    choice, harm, seed = task
    by_segment, otherwise = CHOICES[choice]
    joined = rows_of(RATE, HARMS[harm], [100 + list(HARMS).index(harm), seed])
    with otherwise():
        return judged(policies()[by_segment], joined, f"c{seed}")


def measure(pool: Executor, seeds: int) -> str:
    """The table: how many are rolled back, and when, by each choice."""
    text = [
        f"Payments of four providers, {RATE:g} a minute, 97 % succeed; {seeds} rollouts each, the same rows for each",
        "choice. Rolled back within 40 minutes, with 95 % intervals, and the median minute.",
        "",
        f"| | {' | '.join(HARMS)} |",
        "|---|" + "---|" * len(HARMS),
    ]
    for choice in CHOICES:
        cells = []
        for harm in HARMS:
            found = list(pool.map(one, [(choice, harm, seed) for seed in range(seeds)]))
            cells.append(share_and_minute(found))
        text.append(f"| {choice} | {' | '.join(cells)} |")
    return "\n".join(text)

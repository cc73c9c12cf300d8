"""`python -m bench.detection [TABLE ...]`: what this judge and its peers do to healthy and to harmful canaries.

Without a table all are measured. `--full` takes five times as many rollouts, `--share` a part of them, for a look on a
machine that has other work.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor

# One thread a process: the processes share the cores already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bench import results
from bench.detection import choices, nounit, plots, real, segments, speed, stable, table, wald, whole


def _peers(pool: Executor, times: float) -> str:
    cells = table.measure(pool, table.scenes(), times)
    plots.draw(cells)
    return table.LEGEND + "\n\n" + table.markdown(cells)


def _wald(pool: Executor, times: float) -> str:
    seeds = _some(500, times)
    return wald.markdown(wald.measure(pool, seeds), seeds)


def _some(rollouts: int, times: float) -> int:
    return max(1, round(rollouts * times))


TABLES: dict[str, tuple[str, Callable[[Executor, float], str]]] = {
    "peers": ("next to its peers", _peers),
    "healthy": ("healthy rollouts", whole.measure),
    "shops": ("shops as they are", lambda pool, times: real.measure(pool, _some(100, times))),
    "power": ("harmful canaries", lambda pool, times: real.power(pool, _some(100, times))),
    "segments": ("harm to some customers", lambda pool, times: segments.measure(pool, _some(100, times))),
    "choices": ("what the judge's choices are worth", lambda pool, times: choices.measure(pool, _some(100, times))),
    "nounit": ("shops without customers", lambda pool, times: nounit.measure(pool, _some(20, times))),
    "stable": ("stable by the hour", lambda pool, times: stable.measure(pool, _some(100, times))),
    "wald": ("Wald's bound", _wald),
    "speed": ("one refresh", lambda _pool, _times: speed.measure()),
}
"""By the name on the command line: the section's title, and what makes it."""


def main() -> None:
    """Measure, write the tables into bench/RESULTS.md and the plots into docs/pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all without any")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="five times as many rollouts")
    size.add_argument("--share", type=float, help="a part of the rollouts, such as 0.1")
    given = parser.parse_args()
    if not TABLES.keys() >= set(given.tables):
        parser.error(f"expected tables of {', '.join(TABLES)}")
    times = 5.0 if given.full else given.share or 1.0
    words = [*given.tables, *(["--full"] if given.full else []), *([f"--share {times:g}"] if given.share else [])]
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in given.tables or TABLES:
            title, made = TABLES[name]
            results.record(f"Detection: {title}", " ".join(["python -m bench.detection", *words]), made(pool, times))
    print(f"bench/detection took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

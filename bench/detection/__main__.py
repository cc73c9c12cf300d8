"""`python -m bench.detection [--full]`: what this judge and its peers do to healthy and to harmful canaries."""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor

# One thread a process: the processes share the cores already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bench import results
from bench.detection import nounit, plots, real, speed, stable, table, wald, whole


def main() -> None:
    """Measure, write the tables into bench/RESULTS.md and the plots into docs/pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="five times as many rollouts")
    full = parser.parse_args().full
    times, command = (5, "python -m bench.detection --full") if full else (1, "python -m bench.detection")
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        cells = table.measure(pool, table.scenes(), times)
        results.record("Detection: next to its peers", command, table.LEGEND + "\n\n" + table.markdown(cells))
        plots.draw(cells)
        results.record("Detection: healthy rollouts", command, whole.measure(pool, times))
        results.record("Detection: shops as they are", command, real.measure(pool, 100 * times))
        results.record("Detection: harmful canaries", command, real.power(pool, 100 * times))
        results.record("Detection: shops without customers", command, nounit.measure(pool, 20 * times))
        results.record("Detection: stable by the hour", command, stable.measure(pool, 100 * times))
        seeds = 500 * times
        results.record("Detection: Wald's bound", command, wald.markdown(wald.measure(pool, seeds), seeds))
    results.record("Detection: one refresh", command, speed.measure())
    print(f"bench/detection took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

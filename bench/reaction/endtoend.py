"""From the first harmful row in the order database to the canary's last request, link by link.

The demo's whole stack, with the scrape and evaluation interval of a shop instead of the demo's.
"""

import argparse
import asyncio
import io
import statistics
import tempfile
from datetime import datetime
from pathlib import Path

from rich.console import Console

from bench import results
from bench.results import figures
from canary.policy.signals import Signals
from canary.timing.clock import SystemClock
from demo import scenario
from demo.main import tell
from demo.screen import Screen
from demo.stack import policy
from demo.stack.stack import Settings, Stack

COMMAND = "python -m bench.reaction.endtoend"
SCRAPE_SECONDS = 5.0
VERDICT_SECONDS = Signals().verdict_interval
STRATEGY = Path(__file__).parents[2] / "canary.yaml"

# The links, by how their moments begin in the demo's timeline.
LINKS = (
    ("first bad payment", "evidence crosses", "the evidence grows"),
    ("evidence crosses", "alert ", "Prometheus evaluates"),
    ("alert ", "rollback decided", "Alertmanager, webhook, journal"),
    ("rollback decided", "last request answered", "router"),
)


async def once(seed: int) -> dict[str, datetime]:
    """One bad canary; gives when each moment of the timeline was."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(STRATEGY, Path(folder), seed=seed)
        screen, clock = Screen(Console(file=io.StringIO())), SystemClock()
        async with Stack(settings, clock, screen) as stack:
            outcome = await tell(stack, clock, screen, "bad")
    assert not outcome.problems, outcome.problems
    return {moment.what: moment.at for moment in outcome.moments if moment.at is not None}


def seconds(moments: dict[str, datetime], start: str, end: str) -> float:
    """The time between two moments, known by how they begin."""
    (first,) = (at for what, at in moments.items() if what.startswith(start))
    (last,) = (at for what, at in moments.items() if what.startswith(end))
    return (last - first).total_seconds()


_INTRODUCTION = f"""\
A canary with a quarter of the customers begins to fail 60 % of its payments (demo, speed 30, 50 customers a second);
scrape and evaluation every {SCRAPE_SECONDS:g} s, of proofs and the alerts that roll back for them every
{VERDICT_SECONDS:g} s, as shipped. Seconds: median / p99 / largest. What Prometheus knows is known to the scrape
interval; the order database, the journal and the customers are exact.

| link | seconds | share of the median |
|---|---|---|
"""


async def main(runs: int = 10) -> None:
    """Measure, and record the figures."""
    policy.SCRAPE_SECONDS = SCRAPE_SECONDS
    scenario.WARM_UP_SECONDS = 3.0 * SCRAPE_SECONDS  # the first customers must have been scraped
    found = []
    for seed in range(1, runs + 1):
        found.append(await once(seed))
        print(seed, f"{seconds(found[-1], LINKS[0][0], LINKS[-1][1]):.1f} s", flush=True)
    whole = [seconds(moments, LINKS[0][0], LINKS[-1][1]) for moments in found]
    beyond = [seconds(moments, LINKS[1][0], LINKS[-1][1]) for moments in found]
    rows = []
    for start, end, name in LINKS:
        times = [seconds(moments, start, end) for moments in found]
        rows.append(f"| {name} | {figures(times)} | {statistics.median(times) / statistics.median(whole):.0%} |")
    rows.append(f"| all, {runs} runs | {figures(whole)} | |")
    rows.append(f"| without what the evidence needs | {figures(beyond)} | |")
    results.record("Reaction: from the first harmful row", f"{COMMAND} --runs {runs}", _INTRODUCTION + "\n".join(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    asyncio.run(main(parser.parse_args().runs))

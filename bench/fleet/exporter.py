"""One exporter for many services, a rollout judged in each: its cost, and whether a heavy one delays the others."""

import asyncio
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench import results
from bench.fleet.shops import begin_rollouts, cpu_seconds, family, fill, fill_all, memory_mib, service, write_policies
from bench.results import figures
from tests.support.programs.ports import free_port
from tests.support.programs.processes import Program, eventually, listens

_VISITS = 1_200
"""Of a small shop in its last hour: 20 a minute."""
_HEAVY_VISITS = 600_000
"""Of a large one: 10,000 a minute."""
_SCRAPE_SECONDS = 0.5
_AGE = re.compile(r'^canary_exporter_last_refresh_age_seconds{service="([^"]+)"} (\S+)$', re.MULTILINE)
_FILLED = re.compile(r"^canary_exporter_backfill_ratio{[^}]*} 1\.0$", re.MULTILINE)


@dataclass
class Found:
    """What was seen of one exporter; ages in milliseconds."""

    busy: float = 0.0
    memory_mib: float = 0.0
    scrapes: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)


async def measure(services: int, seconds: float, *, heavy: bool) -> Found:
    """Run an exporter for all, one of which is a large shop when *heavy*; the ages are the others'."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        policies = write_policies(folder, services, port, "http://127.0.0.1:1")
        fill_all(folder, services, _VISITS)
        if heavy:
            (folder / f"{service(0)}.db").unlink()
            fill(folder / f"{service(0)}.db", _HEAVY_VISITS)
        await begin_rollouts(policies)
        argv: list[str | Path] = [Path(sys.executable).with_name("canary"), "exporter"]
        argv += ["--config.file", folder / "policies", "--web.listen-address", f"127.0.0.1:{port}"]
        exporter = Program(argv, folder / "exporter.log")
        try:
            await exporter.start(lambda: listens(port), 120)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                await eventually(lambda: _filled(http, services), "the past is counted", 600)
                return await _watched(http, exporter.pid, seconds)
        finally:
            exporter.stop()


async def _filled(http: aiohttp.ClientSession, services: int) -> bool:
    async with http.get("/metrics") as answer:
        filled = len(_FILLED.findall(await answer.text())) == services
    await asyncio.sleep(_SCRAPE_SECONDS)
    return filled


async def _watched(http: aiohttp.ClientSession, pid: int, seconds: float) -> Found:
    """Scrape as Prometheus does, and look at the processes."""
    found = Found()
    before, began = cpu_seconds(family(pid)), time.monotonic()
    while time.monotonic() - began < seconds:
        asked = time.perf_counter()
        async with http.get("/metrics") as answer:
            text = await answer.text()
        found.scrapes.append((time.perf_counter() - asked) * 1000)
        found.ages += [float(age) * 1000 for name, age in _AGE.findall(text) if name != service(0)]
        await asyncio.sleep(_SCRAPE_SECONDS)
    found.busy = (cpu_seconds(family(pid)) - before) / (time.monotonic() - began)
    found.memory_mib = memory_mib(family(pid))
    return found


_INTRODUCTION = f"""\
A rollout is judged in each service, a small shop with {_VISITS:,} visits in the last hour in a SQLite file of its own.
In the second row one of them is a large shop with {_HEAVY_VISITS:,}. *Busy* is what all processes of the exporter
compute, in cores, two scrapes of everything a second included. *Age* is how old the knowledge of the small ones is at
a scrape; it is read anew each second. Milliseconds: median / p99 / largest.

| services | busy, cores | memory, MiB | a scrape of all | age of the small ones |
|---|---|---|---|---|
"""


async def main(services: int, seconds: float, command: str) -> None:
    """Measure, and record the figures."""
    rows = []
    for heavy in (False, True):
        found = await measure(services, seconds, heavy=heavy)
        what = f"{services}, one of them large" if heavy else str(services)
        cells = (what, f"{found.busy:.2f}", f"{found.memory_mib:.0f}", figures(found.scrapes), figures(found.ages))
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    results.record("Many services: one exporter", command, _INTRODUCTION + "\n".join(rows))

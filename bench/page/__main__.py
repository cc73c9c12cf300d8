"""`python -m bench.page`: how soon the receiver's page is seen, and what two hundred people who watch it cost.

The receiver is the program that users start. Prometheus is a stand-in with the series of six KPIs over half an hour,
which change every five seconds; it, and those who watch, are processes of their own.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from bench import results
from bench.page.load import CHANGES_SECONDS, WATCHERS, prometheus, watch_all
from bench.parts import Part, parts
from bench.results import figures
from tests.support.programs.chromium import Tab, chromium
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually
from tests.support.receiving.receiver import AS_SHIPPED, ReceiverProgram, Setting, order

COMMAND = "python -m bench.page"
# Six changes of every number, and enough loads for a median that another run repeats.
SECONDS = 30.0
LOADS = 20
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


@asynccontextmanager
async def _running(prometheus: int) -> AsyncIterator[tuple[Setting, ReceiverProgram]]:
    with tempfile.TemporaryDirectory() as name:
        changes = {
            "process": {"kind": "none"},
            "phases": [{"traffic": "5%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}],
            "receiver": {"prometheus": f"http://127.0.0.1:{prometheus}", **AS_SHIPPED},
        }
        setting = Setting(Path(name), [], changes)
        receiver = ReceiverProgram(setting)
        await receiver.start()
        try:
            await order(setting, "start", canary="v2.0", stable="v1.0", force=True)
            yield setting, receiver
        finally:
            receiver.program.stop()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _paints(tab: Tab, url: str) -> list[float]:
    found = []
    for _ in range(LOADS):
        await tab.open("about:blank")
        await tab.open(url)
        await tab.until(f"{PAINTED} != null")
        found.append(float(await tab.value(PAINTED)))
    return found


async def _cost(receiver: ReceiverProgram, watchers: Part | None) -> tuple[float, float]:
    """Share of a core, and bytes a second to each who watches."""
    pid = receiver.program.pid
    before = await watchers.ask() if watchers else (0, 0)
    began, cpu = time.monotonic(), _cpu_seconds(pid)
    await asyncio.sleep(SECONDS)
    used, lasted = _cpu_seconds(pid) - cpu, time.monotonic() - began
    after = await watchers.ask() if watchers else (0, 0)
    return used / lasted, (after[1] - before[1]) / lasted / WATCHERS


async def _all_there(watchers: Part) -> bool:
    return bool((await watchers.ask())[0] == WATCHERS)


async def main() -> None:
    """Measure, and write the section."""
    port = free_port()
    async with parts() as start:
        await start(prometheus, port).hear()
        async with _running(port) as (setting, receiver):
            async with chromium() as tab:
                paints = await _paints(tab, f"{setting.url}/")
            idle, _ = await _cost(receiver, None)
            watchers = start(watch_all, setting.url)
            await eventually(partial(_all_there, watchers), "everybody watches")
            watched, sent = await _cost(receiver, watchers)
    results.record("The page", COMMAND, _table(paints, idle, watched, sent))


def _table(paints: list[float], idle: float, watched: float, sent: float) -> str:
    return f"""
| what | measured | aim |
|---|---|---|
| first contentful paint over loopback, median / p99 / largest of {LOADS}, ms | {figures(paints)} | below 200 |
| receiver with nobody watching, of a core | {idle:.1%} | |
| with {WATCHERS} people watching (six KPIs, new every {CHANGES_SECONDS} s), of a core | {watched:.1%} | below 10% |
| bytes a second to each of them | {sent:,.0f} | |

A real Chromium paints; those who watch are connections that read what is sent.
"""


if __name__ == "__main__":
    asyncio.run(main())

"""`python -m bench.flags`: feature-flag evaluations a second on one core, and a rollback in the midst of them.

The receiver is the program that users start, held to one core; applications ask from a process of their own.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import results
from bench.flags.load import CONNECTIONS, TOKEN, Load, ask
from bench.parts import Part, parts
from bench.results import figures
from canary.web.client import Client
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.receiving.receiver import ReceiverProgram, Setting, alert, payload, post, router_section
from tests.support.web.traffic import Upstream

COMMAND = "python -m bench.flags"
FLAGS: dict[str, Any] = {
    **{f"tenth{number}": {"percentage": "10%", "groups": ["staff"]} for number in range(6)},
    "off": {"enabled": False},
    "everybody": {"percentage": "100%"},
    "newRelease": {"follow_rollout": True},
}
ARMS = {name: {"weight": 1} for name in ("control", "blue", "green")}
PHASES = [{"traffic": "50%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
AT_ONCE = len(FLAGS) + 1


LOADS = (
    Load("one flag, as fast as possible", "/tenth0", 1),
    Load("one flag, 1,000 requests a second", "/tenth0", 1, 1000),
    Load(f"all {AT_ONCE} flags, as fast as possible", "", AT_ONCE),
    Load(f"all {AT_ONCE} flags, 500 requests a second", "", AT_ONCE, 500),
)


def _cpu_seconds(pid: int) -> float:
    """What a process has used of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _waited_seconds(pid: int) -> float:
    """How long a process was ready to run while the processor did something else."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


@dataclass
class Bench:
    """A receiver with a rollout at half the traffic, on HAProxy."""

    setting: Setting
    front: HAProxy
    receiver: ReceiverProgram
    rollout: str

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["Bench"]:
        """Start everything, and stop it after the block."""
        upstream = Upstream("both")
        await upstream.start()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "flags-token").write_text(TOKEN)
            front = HAProxy(folder / "front", upstream.address, upstream.address)
            await front.start()
            changes = {
                "phases": PHASES,
                "process": {"kind": "none", "drain": "0s"},
                "flags": FLAGS,
                "experiments": {"colours": {"variants": ARMS}},
                "receiver": {"flags_token_file": "../flags-token"},
            }
            setting = Setting(folder / "receiver", [router_section(front)], changes)
            receiver = ReceiverProgram(setting)
            try:
                await receiver.start()
                os.sched_setaffinity(receiver.program.pid, {max(os.sched_getaffinity(0))})
                async with Client.of(setting.policy) as client:
                    entry = await client.command("start", canary="v2.0", stable="v1.0", again=True)
                yield cls(setting, front, receiver, str(entry["rollout"]))
            finally:
                receiver.program.stop()
                front.stop()
                await upstream.stop()

    async def row(self, load: Load, start: Any, seconds: float) -> str:
        """One load's figures, as a row of Markdown."""
        pid = self.receiver.program.pid
        before, waited_before = _cpu_seconds(pid), _waited_seconds(pid)
        answers = await start(ask, self.setting.port, load, seconds).hear()
        spent, waited = _cpu_seconds(pid) - before, _waited_seconds(pid) - waited_before
        requests = len(answers.milliseconds)
        evaluations = requests * load.evaluations
        cells = (
            load.title,
            f"{requests / answers.seconds:,.0f}",
            f"{evaluations / answers.seconds:,.0f}",
            figures(answers.milliseconds),
            f"{spent / requests * 1e6:,.0f} µs",
            f"{evaluations / spent:,.0f}",
            f"{spent / answers.seconds:.0%} / {waited / answers.seconds:.0%}",
            str(answers.refused),
        )
        return f"| {' | '.join(cells)} |"

    async def roll_back(self, start: Any, seconds: float) -> str:
        """A rollback's webhook in the midst of the heaviest load; gives a sentence."""
        sender: Part = start(ask, self.setting.port, LOADS[0], seconds)
        await asyncio.sleep(seconds / 2)
        sent_at = time.perf_counter()
        code = await post(self.setting, payload(alert("CanaryHighErrorRate", "rollback", self.rollout)))
        answered_ms = (time.perf_counter() - sent_at) * 1000
        await eventually(self._closed, "nobody on the canary")
        closed_ms = (time.perf_counter() - sent_at) * 1000
        await sender.hear()
        return (
            f"A rollback's webhook amid the first load: answered {code} after {answered_ms:.0f} ms, "
            f"the router reads back 0 % after {closed_ms:.0f} ms."
        )

    async def _closed(self) -> bool:
        return (await self.front.router.read()).weight_ratio == 0


_INTRODUCTION = f"""\
{CONNECTIONS} connections ask `canary receiver`, which is held to one core and runs a rollout; each answer's status is
checked. An evaluation is one flag for one user; an answer about all flags holds {AT_ONCE}. Times are milliseconds from
when a request was due: median / p99 / largest. On a machine that is busy with other things rate and times say little
and the processor's time much: the last columns say what a request costs the receiver (its look at router and
Prometheus five times a second included), how many evaluations a core makes that has nothing else to do, and how much of
the time the receiver ran, or could have run while others had its core.

| load | requests/s | evaluations/s | answered, ms | processor per request | evaluations per core-second \
| ran / waited for its core | not 200 |
|---|---|---|---|---|---|---|---|
"""


async def main(seconds: float) -> None:
    """Measure, and record the figures."""
    async with Bench.running() as bench, parts() as start:
        rows = []
        for load in LOADS:
            rows.append(await bench.row(load, start, seconds))
            print(rows[-1], flush=True)
        rolled_back = await bench.roll_back(start, seconds)
        print(rolled_back, flush=True)
    body = _INTRODUCTION + "\n".join(rows) + f"\n\n{rolled_back}"
    results.record("Feature flags on one core", f"{COMMAND} --seconds {seconds:g}", body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="per load")
    asyncio.run(main(parser.parse_args().seconds))

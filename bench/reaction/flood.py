"""2,000 webhook notifications a second for a minute, with a rollback among them."""

import argparse
import asyncio
import json
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from bench import results
from bench.parts import Part, parts
from bench.results import figures
from canary import names
from canary.web.client import Client
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.processes import eventually
from tests.support.receiving.receiver import (
    AS_SHIPPED,
    WEBHOOK_TOKEN,
    ReceiverProgram,
    Setting,
    alert,
    payload,
    post,
    router_section,
)
from tests.support.web.traffic import Upstream

COMMAND = "python -m bench.reaction.flood"
# Far beyond what an Alertmanager sends: what an open port meets.
CONNECTIONS = 200
RATE_PER_SECOND = 2000


def _request(body: object) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST {names.WEBHOOK_PATH} HTTP/1.1\r\nHost: receiver\r\nAuthorization: Bearer {WEBHOOK_TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def _bodies(rollout: str) -> list[bytes]:
    """What a busy Alertmanager repeats: the heartbeat, warnings, the running rollout's, and long gone rollouts'."""
    return [
        _request(payload(alert(names.WATCHDOG, "none", rollout))),
        _request(payload(alert("CanarySlowResponse", "none", rollout), alert("CanaryBlind", "hold", "v1.9-gone"))),
        _request(payload(alert("CanaryHighErrorRate", "rollback", rollout, status="resolved"))),
        _request(payload(*(alert("CanaryOutOfRange", "none", rollout, metric=str(n)) for n in range(8)))),
    ]


async def flood(pipe: Connection, port: int, rollout: str, seconds: float) -> None:
    """Send at the wanted rate; tells each answer's time in milliseconds, and the statuses that were no 202."""
    bodies, times, others = _bodies(rollout), [], []
    ends_at = time.perf_counter() + seconds

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = time.perf_counter() + number / RATE_PER_SECOND
        while due < ends_at:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent_at = time.perf_counter()
            writer.write(bodies[number % len(bodies)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append((time.perf_counter() - sent_at) * 1000)
            if b" 202 " not in head[:16]:
                others.append(head[:16].decode())
            due += CONNECTIONS / RATE_PER_SECOND
            number += 1
        writer.close()

    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    pipe.send((times, others))


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


async def measure(seconds: float) -> str:
    """One flood with a rollback in its middle; gives a row of Markdown."""
    upstream = Upstream("both")
    await upstream.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        front = HAProxy(folder / "front", upstream.address, upstream.address)
        await front.start()
        phases = [{"traffic": "50%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
        changes = {"phases": phases, "process": {"kind": "none", "drain": "0s"}, "receiver": AS_SHIPPED}
        setting = Setting(folder / "receiver", [router_section(front)], changes)
        receiver = ReceiverProgram(setting)
        try:
            await receiver.start()
            async with Client.of(setting.policy) as client, parts() as start:
                rollout = str((await client.command("start", canary="v2.0", stable="v1.0", again=True))["rollout"])
                sender = start(flood, setting.port, rollout, seconds)
                return await _watched(setting, front, receiver, sender, rollout, seconds)
        finally:
            receiver.program.stop()
            front.stop()
            await upstream.stop()


async def _closed(front: HAProxy) -> bool:
    return (await front.router.read()).weight_ratio == 0


async def _watched(
    setting: Setting, front: HAProxy, receiver: ReceiverProgram, sender: Part, rollout: str, seconds: float
) -> str:
    await asyncio.sleep(seconds / 4)
    early = _resident_mib(receiver.program.pid)
    await asyncio.sleep(seconds / 4)
    sent_at = time.perf_counter()
    code = await post(setting, payload(alert("CanaryHighErrorRate", "rollback", rollout)))
    answered_ms = (time.perf_counter() - sent_at) * 1000
    await eventually(lambda: _closed(front), "nobody on the canary")
    closed_ms = (time.perf_counter() - sent_at) * 1000
    await asyncio.sleep(seconds / 2 - 1)
    late = _resident_mib(receiver.program.pid)
    times, others = await sender.hear()
    cells = (
        f"{len(times):,} ({len(times) / seconds:.0f})",
        figures(times),
        str(len(others)),
        f"{code}, {answered_ms:.0f} ms",
        f"{closed_ms:.0f} ms",
        f"{early:.1f} / {late:.1f} MiB",
    )
    return f"| {' | '.join(cells)} |"


_INTRODUCTION = f"""\
{CONNECTIONS} connections together send {RATE_PER_SECOND:,} notifications a second, of one to eight alerts: heartbeat,
warnings, resolved ones, rollouts long gone. In the middle comes one that rolls back, on HAProxy.

| notifications (per s) | answered, ms: median / p99 / largest | not 202 | rollback answered \
| router reads back 0 % after | memory at a quarter / at the end |
|---|---|---|---|---|---|
"""


async def main(seconds: float = 60) -> None:
    """Measure, and record the figures."""
    found = await measure(seconds)
    print(found, flush=True)
    results.record("Reaction: a flood of webhooks", f"{COMMAND} --seconds {seconds:g}", _INTRODUCTION + found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    asyncio.run(main(parser.parse_args().seconds))

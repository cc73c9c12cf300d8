"""Everything that a stranger can do to the receiver at once, on a full disk, and a rollback in the middle of it.

Each kind of attack comes from an address of its own: 5,000 connections that say nothing, 500 that send a head byte by
byte, 200 open pages, 2,000 webhooks a second with a wrong token. The disk that the journal is on has no byte left.
Then Alertmanager's webhook, the page and the status are asked from addresses that nobody attacks from.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp

from bench import results
from bench.parts import parts
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
    router_section,
)
from tests.support.web.traffic import Upstream

COMMAND = "python -m bench.reaction.siege"
_SILENT, _SLOW, _PAGES, _RATE_PER_SECOND, _FLOOD_CONNECTIONS = 5_000, 500, 200, 2_000, 100

# Long enough that every attack has reached its size, and that requests which never end begin to be closed.
_WARM_SECONDS = 15.0


async def _connected(port: int, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


async def _forever(count: int, one: object) -> None:
    async def again() -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await one()  # type: ignore[operator]  # a coroutine function of this module
            await asyncio.sleep(0.05)

    await asyncio.gather(*(again() for _ in range(count)))


async def crowd(pipe: Connection, port: int) -> None:
    """Silent connections, slow heads and open pages, each opened again as soon as it is closed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))

    async def silent() -> None:
        reader, writer = await _connected(port, "127.0.0.2")
        try:
            await reader.read()
        finally:
            writer.close()

    async def slow() -> None:
        _, writer = await _connected(port, "127.0.0.3")
        try:
            for byte in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1_000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.5)
        finally:
            writer.close()

    async def page() -> None:
        reader, writer = await _connected(port, "127.0.0.4")
        try:
            writer.write(b"GET /page/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while await reader.read(65_536):
                pass
        finally:
            writer.close()

    pipe.send("begun")
    await asyncio.gather(_forever(_SILENT, silent), _forever(_SLOW, slow), _forever(_PAGES, page))


async def flood(pipe: Connection, port: int) -> None:
    """Webhooks with a wrong token."""
    body = json.dumps(payload(alert("CanaryHighErrorRate", "rollback", "v9.9-1"))).encode()
    request = (
        f"POST {names.WEBHOOK_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer not-the-token\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    async def one() -> None:
        reader, writer = await _connected(port, "127.0.0.5")
        try:
            while True:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                await asyncio.sleep(_FLOOD_CONNECTIONS / _RATE_PER_SECOND)
        finally:
            writer.close()

    pipe.send("begun")
    await _forever(_FLOOD_CONNECTIONS, one)


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of 8 MiB; needs root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


async def _asked(url: str, path: str, address: str) -> float:
    """Milliseconds until an answer of 200 is read from an address of its own, on a new connection."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=connector) as session, session.get(f"{url}{path}") as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
    return (time.perf_counter() - began) * 1000


async def _rolled_back(setting: Setting, front: HAProxy, rollout: str) -> tuple[float, int]:
    """Milliseconds from a webhook on a new connection until the router reads back 0 %, and its answer's status."""
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}"}
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.6", 0))
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        body = payload(alert("CanaryHighErrorRate", "rollback", rollout))
        sent = asyncio.ensure_future(session.post(f"{setting.url}{names.WEBHOOK_PATH}", json=body))
        await eventually(lambda: _closed(front), "nobody on the canary", timeout_seconds=120)
        in_force = (time.perf_counter() - began) * 1000
        return in_force, (await sent).status


async def _closed(front: HAProxy) -> bool:
    return (await front.router.read()).weight_ratio == 0


async def measure(rounds: int) -> str:
    """Sieges in turn; gives a row of Markdown."""
    in_force, statuses, pages, commands = [], [], [], []
    for number in range(rounds):
        print(f"siege {number + 1} of {rounds}", flush=True)
        with tempfile.TemporaryDirectory() as name, _small_disk(Path(name) / "disk") as disk:
            upstream = Upstream("both")
            await upstream.start()
            front = HAProxy(Path(name) / "front", upstream.address, upstream.address)
            await front.start()
            phases = [{"traffic": "50%", "duration": "1h"}, {"traffic": "100%", "duration": "1h"}]
            changes = {"phases": phases, "process": {"kind": "none"}, "receiver": AS_SHIPPED}
            setting = Setting(disk, [router_section(front)], changes)
            receiver = ReceiverProgram(setting)
            try:
                await receiver.start()
                async with Client.of(setting.policy) as client, parts() as start:
                    rollout = str((await client.command("start", canary="v2.0", stable="v1.0", again=True))["rollout"])
                    _fill(disk)
                    for attack in (start(crowd, setting.port), start(flood, setting.port)):
                        await attack.hear()
                    await asyncio.sleep(_WARM_SECONDS)
                    pages.append(await _asked(setting.url, "/", "127.0.0.7"))
                    commands.append(await _asked(setting.url, "/api/v1/status", "127.0.0.8"))
                    found, status = await _rolled_back(setting, front, rollout)
                    in_force.append(found)
                    statuses.append(status)
            finally:
                receiver.program.stop()
                front.stop()
                await upstream.stop()
    cells = (
        str(rounds),
        figures(in_force),
        " ".join(map(str, sorted(set(statuses)))),
        figures(pages),
        figures(commands),
    )
    return f"| {' | '.join(cells)} |"


_INTRODUCTION = f"""\
{_SILENT:,} silent connections, {_SLOW} that send a head byte by byte, {_PAGES} open pages and {_RATE_PER_SECOND:,}
webhooks a second with a wrong token, each from one address, while the journal has no disk left; attackers and receiver
share the machine. Milliseconds: median / p99 / largest.

| sieges | webhook to 0 % read back at HAProxy | its answer | page, new address | status, new address |
|---|---|---|---|---|
"""


async def main(rounds: int = 5) -> None:
    """Measure, and record the figures."""
    found = await measure(rounds)
    print(found, flush=True)
    results.record("Reaction: under siege", f"{COMMAND} --rounds {rounds}", _INTRODUCTION + found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args().rounds))

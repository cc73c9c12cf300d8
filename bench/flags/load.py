"""Applications that ask for feature flags, in a process of their own."""

import asyncio
import json
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from alertmanager.receiver.http.ofrep import OFREP_PREFIX

TOKEN = "flags-token"
# A shop's few processes, each with a pool; and more users than any cache of answers would hold by accident.
CONNECTIONS = 32
USERS = 10_000


@dataclass(frozen=True)
class Load:
    """How applications ask.

    Attributes:
        path: after the protocol's prefix: one flag, or nothing for all.
        evaluations: how many flags one answer holds.
        per_second: requests that are wanted; None asks again as soon as an answer is there.
    """

    title: str
    path: str
    evaluations: int
    per_second: int | None = None


@dataclass(frozen=True)
class Answers:
    """What applications saw."""

    milliseconds: list[float]
    refused: int
    seconds: float


def _request(path: str, user: int) -> bytes:
    data = json.dumps({"context": {"targetingKey": f"user-{user}", "group": "customers"}}).encode()
    head = (
        f"POST {OFREP_PREFIX}{path} HTTP/1.1\r\nHost: receiver\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def ask(pipe: Connection, port: int, load: Load, seconds: float) -> None:
    """Ask for so long; a request that had to wait for its turn is measured from when it was due."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the receiver has the last core
    times: list[float] = []
    refused = 0
    began = time.perf_counter()

    async def one(number: int) -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        step = CONNECTIONS / load.per_second if load.per_second else 0.0
        due = time.perf_counter() + step * number / CONNECTIONS
        while (now := time.perf_counter()) - began < seconds:
            if not load.per_second:
                due = now
            elif due > now:
                await asyncio.sleep(due - now)
            writer.write(_request(load.path, number % USERS))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append((time.perf_counter() - due) * 1000)
            refused += b" 200 " not in head[:16]
            due += step
            number += CONNECTIONS
        writer.close()

    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    pipe.send(Answers(times, refused, time.perf_counter() - began))

"""A Prometheus with the series of six KPIs, and two hundred people who watch: each a process of its own."""

import asyncio
import math
import time
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
from aiohttp import web

from canary import names
from tests.support.web.webserver import served

# A company that looks, in a bad hour.
WATCHERS = 200
# As many watch from one address as the page lets.
PER_ADDRESS = 100
KPIS = (
    "average_order_value", "cart_abandonment_rate", "checkout_completion_rate", "conversion_rate",
    "customer_satisfaction", "payment_success_rate",
)  # fmt: skip
CHANGES_SECONDS = 5


def _value(number: int, moment: float) -> float:
    """A number that changes every five seconds."""
    return math.sin(number + moment // CHANGES_SECONDS) / 10


def _now() -> list[dict[str, Any]]:
    at = time.time()
    metrics: tuple[tuple[str, dict[str, str]], ...] = (
        (names.KPI_RELATIVE_CHANGE, {}), (names.KPI_RELATIVE_CHANGE_LOWER, {}), (names.KPI_RELATIVE_CHANGE_UPPER, {}),
        (names.KPI_EVIDENCE, {}), (names.KPI_EVIDENCE_THRESHOLD, {}), (names.KPI_TOLERANCE, {}),
        (names.KPI_VALUE, {names.ROLE: "stable"}), (names.KPI_VALUE, {names.ROLE: "canary"}),
        (names.KPI_UNITS, {names.ROLE: "canary"}),
    )  # fmt: skip
    return [
        {"metric": {"__name__": metric, names.KPI: kpi, **labels}, "value": [at, str(_value(number, at))]}
        for number, kpi in enumerate(KPIS)
        for metric, labels in metrics
    ]


def _over_time(start: float, end: float, step: float) -> list[dict[str, Any]]:
    times = [start + step * index for index in range(int((end - start) / step) + 1)]
    metrics = (
        names.KPI_RELATIVE_CHANGE, names.KPI_RELATIVE_CHANGE_LOWER, names.KPI_RELATIVE_CHANGE_UPPER, names.KPI_EVIDENCE,
        names.KPI_EVIDENCE_THRESHOLD,
    )  # fmt: skip
    return [
        {
            "metric": {"__name__": metric, names.KPI: kpi},
            "values": [[at, str(_value(number, at))] for at in times],
        }
        for number, kpi in enumerate(KPIS)
        for metric in metrics
    ]


async def prometheus(pipe: Connection, port: int) -> None:
    """Answers for ever."""

    async def answer(request: web.Request) -> web.Response:
        asked = {**request.query, **await request.post()}
        if request.path.endswith("query_range"):
            found = _over_time(*(float(str(asked[key])) for key in ("start", "end", "step")))
            data = {"resultType": "matrix", "result": found}
        elif request.path.endswith("query"):
            data = {"resultType": "vector", "result": _now()}
        else:
            data = {"alerts": []}
        return web.json_response({"status": "success", "data": data})

    async with served(web.route("*", "/{path:.*}", answer), port=port):
        pipe.send(True)
        await asyncio.Event().wait()


async def watch_all(pipe: Connection, url: str) -> None:
    """Open all pages, and then count what comes."""
    received = [0, 0]

    async def watch(http: aiohttp.ClientSession) -> None:
        async with http.get(f"{url}/page/live") as answer:
            received[0] += 1
            async for chunk, _ in answer.content.iter_chunks():
                received[1] += len(chunk)

    sessions = [
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, local_addr=(f"127.0.0.{host + 1}", 0)),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        for host in range(WATCHERS // PER_ADDRESS)
    ]
    tasks = [asyncio.create_task(watch(http)) for http in sessions for _ in range(PER_ADDRESS)]
    while True:
        await asyncio.to_thread(pipe.recv)
        pipe.send(tuple(received))
        for task in tasks:
            if task.done():
                task.result()

"""A shop without instrumentation: a real HAProxy's own exporter feeds the rules of `preset: haproxy`."""

import asyncio
import contextlib
import dataclasses
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from canary import names
from canary.policy import Policy
from canary.routers import Split
from rules.generate import alerts_file, prometheus_files
from rules.promtool.scenes import Scenario
from rules.promtool.world import World
from scripts import golden
from tests.support.programs.haproxy import HAProxy
from tests.support.programs.ports import free_port
from tests.support.programs.processes import eventually
from tests.support.programs.prometheus import Prometheus
from tests.support.stories.scenes import PATIENCE_SECONDS, SceneTarget, firing, hasty
from tests.support.web.webserver import served

_LIMIT_SECONDS = 0.2

_EXPORTER = """
frontend metrics
    bind 127.0.0.1:{port}
    http-request use-service prometheus-exporter if {{ path /metrics }}
"""


def _policy() -> Policy:
    policy = hasty(golden.policy("minimal"))
    signals = policy.signals
    return dataclasses.replace(
        policy,
        signals=dataclasses.replace(
            signals,
            preset="haproxy",
            selector='job="haproxy"',
            minimum_requests=20,
            critical=dataclasses.replace(signals.critical, response_time=_LIMIT_SECONDS),
            warning=dataclasses.replace(signals.warning, response_time=_LIMIT_SECONDS),
            info=dataclasses.replace(signals.info, error_rate=0.02),
        ),
    )


class _Canary:
    """A new version that is slow, fails, and drops connections until it is repaired."""

    def __init__(self) -> None:
        self.mended = False
        self._numbers = itertools.count()

    async def answer(self, request: web.Request) -> web.Response:
        """Of ten requests three end in 500, one in 404, one in nothing, and all others take their time."""
        number = next(self._numbers) % 10
        if self.mended:
            return web.Response(text="ok")
        if number == 9 and request.transport is not None:
            request.transport.abort()
        await asyncio.sleep(3 * _LIMIT_SECONDS)
        return web.Response(status=500 if number < 3 else 404 if number == 3 else 200)


async def _stable(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


@contextlib.asynccontextmanager
async def _shop(folder: Path, canary: str, stable: str) -> AsyncIterator[tuple[HAProxy, str]]:
    """HAProxy in front of both versions with half of the users on each, and where its exporter is."""
    haproxy, port = HAProxy(folder, stable, canary), free_port()
    with (folder / "haproxy.cfg").open("a") as file:
        file.write(_EXPORTER.format(port=port))
    await haproxy.start()
    try:
        await haproxy.router.set_weight(Split("r-1", 0.5))
        yield haproxy, f"127.0.0.1:{port}"
    finally:
        haproxy.stop()


@contextlib.asynccontextmanager
async def _customers(port: int, pause_seconds: float) -> AsyncIterator[None]:
    """Customers who come one after the other, each a new one."""

    async def visit(session: aiohttp.ClientSession) -> None:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                await response.read()

    async def come() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        async with session, asyncio.TaskGroup() as visits:
            while True:
                visits.create_task(visit(session))
                await asyncio.sleep(pause_seconds)

    coming = asyncio.create_task(come())
    try:
        yield
    finally:
        coming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await coming


Alerts = set[tuple[str, str]]
"""Names of what fires, with the label that tells it from others of the name."""


async def _until(condition: Callable[[Alerts], bool], fire: Callable[[], Awaitable[Alerts]]) -> None:
    """Wait until what fires is as it must be."""
    found: Alerts = set()

    async def holds() -> bool:
        found.clear()
        found.update(await fire())
        return condition(found)

    try:
        await eventually(holds, "what fires", PATIENCE_SECONDS)
    except AssertionError:
        raise AssertionError(f"fires: {sorted(found)}") from None


async def test_the_exporter_publishes_every_series_that_rules_read(tmp_path: Path) -> None:
    """Debian's HAProxy has each of them, for the backends that the generated configuration makes."""
    rules = prometheus_files(_policy())[f"rules/{alerts_file(_policy().service)}"]
    wanted = set(re.findall(r"haproxy_\w+(?=\{job)", rules))

    async with (
        served(web.get("/{path:.*}", _stable)) as server,
        _shop(tmp_path / "haproxy", server, server) as (_, exporter),
        aiohttp.ClientSession() as session,
        session.get(f"http://{exporter}/metrics") as response,
    ):
        text = await response.text()

    assert len(wanted) > 5
    for metric in wanted:
        for backend in ("canary", "stable"):
            assert re.search(rf'^{metric}\{{proxy="{backend}"', text, re.MULTILINE), metric


def _prometheus(folder: Path, guard: str, exporter: str) -> Prometheus:
    """One that scrapes both every second and evaluates the folder's rules."""
    return Prometheus(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{folder}/rules.yml']\n"
        "scrape_configs:\n"
        f"  - {{job_name: guard, honor_labels: true, static_configs: [{{targets: ['{guard}']}}]}}\n"
        f"  - {{job_name: haproxy, static_configs: [{{targets: ['{exporter}']}}]}}\n"
    )


@pytest.mark.timeout(900)
async def test_a_shop_without_instrumentation_is_covered(
    tmp_path: Path,
) -> None:  # long: one set of real programs is started once, and what happens to it has an order
    """Errors, slowness, failed and repeated tries are seen; what is repaired is forgotten, what is gone is missed."""
    policy, canary = _policy(), _Canary()
    (tmp_path / "rules.yml").write_text(prometheus_files(policy)[f"rules/{alerts_file(policy.service)}"])
    world = World(policy, step=3600, begin=0, count=1)
    world.series = {key: values for key, values in world.series.items() if not key[0].startswith("haproxy_")}
    target = SceneTarget([Scenario("", world)])

    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as canary_runs:
        guard = await stack.enter_async_context(served(web.get("/metrics", target.metrics)))
        stable = await stack.enter_async_context(served(web.get("/{path:.*}", _stable)))
        new = await canary_runs.enter_async_context(served(web.get("/{path:.*}", canary.answer)))
        haproxy, exporter = await stack.enter_async_context(_shop(tmp_path / "haproxy", new, stable))
        prometheus = await asyncio.to_thread(_prometheus(tmp_path, guard, exporter).__enter__)
        stack.callback(prometheus.__exit__, None, None, None)
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def fire() -> Alerts:
            kinds = (names.SCOPE, names.METRIC, names.REASON)
            found = await firing(session, prometheus.url)
            return {(one["alertname"], "".join(one.get(kind, "") for kind in kinds)) for one in found}

        async with _customers(haproxy.port, 0.01):
            await _until(lambda found: found >= _OF_A_BAD_CANARY, fire)
            ratio = "version:haproxy_backend_http_responses_{}_per_haproxy_backend_http_responses:ratio_increase12s"
            (failed,) = prometheus.query(ratio.format("errors") + '{version="v2.0"}')
            (refused,) = prometheus.query(ratio.format("client_errors") + '{version="v2.0"}')
            seen = 'sum(haproxy_backend_http_requests_total{proxy="canary"}) > 1500'
            await eventually(lambda: bool(prometheus.query(seen)), "many requests to the canary", PATIENCE_SECONDS)

        canary.mended = True
        async with _customers(haproxy.port, 0.03):
            slow = (names.VERY_SLOW_RESPONSE, "")
            await _until(lambda found: slow not in found, fire)
            (average,) = prometheus.query('haproxy_backend_response_time_average_seconds{proxy="canary"}')

            await canary_runs.aclose()
            gone = (names.BLIND_ALERT, "servers")
            await _until(lambda found: gone in found, fire)

    assert 0.2 < float(failed["value"][1]) < 0.4
    assert 0.05 < float(refused["value"][1]) < 0.2
    assert float(average["value"][1]) > _LIMIT_SECONDS, "HAProxy's own average had forgotten the slow answers too"


_OF_A_BAD_CANARY = {
    (names.HIGH_ERROR_RATE, ""),
    (names.ELEVATED_ERROR_RATE, ""),
    (names.ELEVATED_ERROR_RATE, "tries"),
    (names.ERROR_RATE_DEGRADED, ""),
    (names.VERY_SLOW_RESPONSE, ""),
    (names.SLOW_RESPONSE, ""),
    (names.RESPONSE_TIME_DEGRADED, ""),
    (names.OUT_OF_RANGE, "tries"),
}

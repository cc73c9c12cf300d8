"""The web shell, asked as Prometheus, an administrator and a stranger would."""

import asyncio
import gzip
import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aiohttp
import click
import pytest
from aiohttp import web
from click.testing import CliRunner
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from canary.errors import Fault, PolicyError, WebConfigError
from canary.web.metrics import service_registry
from canary.web.options import WebOptions, split_address, web_options
from canary.web.routes.table import Call, Route
from canary.web.service import Service
from tests.support.programs.processes import eventually


class _Visits(Collector):
    """One counter whose value only a collection makes; the client library knows since when it counts."""

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily("shop_visits", "Visits.", labels=["version"])
        family.add_metric(["v1"], 7, created=1)
        yield family


@asynccontextmanager
async def _asking(service: Service, *, unpack: bool = True) -> AsyncIterator[aiohttp.ClientSession]:
    async with service.serving() as urls, aiohttp.ClientSession(urls[0], auto_decompress=unpack) as client:
        yield client


def _service(**changes: object) -> Service:
    registry = service_registry()
    registry.register(_Visits())
    settings: dict[str, object] = {"name": "exporter", "options": WebOptions(), "registry": registry} | changes
    return Service(**settings)  # type: ignore[arg-type]  # each test names the one it changes


async def test_text_and_openmetrics_are_negotiated() -> None:
    """A scraper gets the format it prefers, and the plain text when it says nothing."""
    async with _asking(_service()) as client:
        async with client.get("/metrics") as answer:
            text, plain = await answer.text(), answer.headers["Content-Type"]
        wish = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
        async with client.get("/metrics", headers=wish) as answer:
            newer, openmetrics = await answer.text(), answer.headers["Content-Type"]

    assert plain.startswith("text/plain; version=0.0.4")
    assert 'shop_visits_total{version="v1"} 7.0' in text
    assert openmetrics.startswith("application/openmetrics-text; version=1.0.0")
    assert newer.endswith("# EOF\n")


async def test_no_series_says_since_when_another_counts() -> None:
    """`_created` is read by nobody, and was one series in sixteen; the counters themselves stay."""
    async with _asking(_service()) as client:
        for wish in ("application/openmetrics-text;version=1.0.0", "text/plain"):
            async with client.get("/metrics", headers={"Accept": wish}) as answer:
                text = await answer.text()

            assert "_created" not in text
            assert 'shop_visits_total{version="v1"} 7.0' in text


async def test_the_answer_is_compressed_on_request_only() -> None:
    """gzip is used when the scraper takes it, and the content is the same."""
    async with _asking(_service(), unpack=False) as client:
        async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            squeezed, encoding = await answer.read(), answer.headers.get("Content-Encoding")
        async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
            plain, none = await answer.read(), answer.headers.get("Content-Encoding")

    assert encoding == "gzip"
    assert none is None
    assert b"shop_visits_total" in gzip.decompress(squeezed)
    assert b"shop_visits_total" in plain


async def test_single_metrics_can_be_asked_for() -> None:
    """`name[]` limits the answer, as in every Prometheus client library."""
    async with _asking(_service()) as client, client.get("/metrics?name[]=shop_visits_total") as answer:
        families = list(text_string_to_metric_families(await answer.text()))

    assert [family.name for family in families] == ["shop_visits"]


async def test_a_slow_collection_ends_at_the_scrapes_own_limit() -> None:
    """A scrape that cannot be answered in time is told so instead of being left to hang."""
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(Collector):
        def collect(self) -> Iterable[Metric]:
            asyncio.run_coroutine_threadsafe(released.wait(), loop).result()
            return []

        def describe(self) -> Iterable[Metric]:
            return []

    shell = _service()
    shell.registry.register(Slow())

    async with _asking(shell) as client:
        async with client.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "0.6"}) as answer:
            status = answer.status
        async with client.get("/-/healthy") as answer:
            healthy = answer.status
        released.set()

    assert (status, healthy) == (503, 200)


async def test_readiness_follows_the_service_and_health_does_not() -> None:
    """`/-/healthy` is about the process only; `/-/ready` asks the service."""
    async with _asking(_service(ready=lambda: False)) as client:
        async with client.get("/-/healthy") as answer:
            healthy = answer.status
        async with client.get("/-/ready") as answer:
            ready = answer.status

    assert (healthy, ready) == (200, 503)


async def test_reloading_over_http_must_be_enabled() -> None:
    """Without --web.enable-lifecycle nobody reloads over HTTP, and GET never does."""
    calls: list[int] = []

    async def reload() -> None:
        calls.append(1)

    async with _asking(_service(reload=reload)) as client, client.post("/-/reload") as answer:
        closed = answer.status
    async with _asking(_service(reload=reload, options=WebOptions(enable_lifecycle=True))) as client:
        async with client.get("/-/reload") as answer:
            got = answer.status
        before = len(calls)
        async with client.post("/-/reload") as answer:
            posted = answer.status
        async with client.put("/-/reload") as answer:
            put = answer.status

    assert (closed, got, before) == (403, 405, 0)
    assert (posted, put, len(calls)) == (200, 200, 2)


async def test_a_bad_policy_is_refused_and_reported() -> None:
    """A reload that fails answers 500 with the fault, and a gauge tells until one works."""

    async def reload() -> None:
        raise PolicyError([Fault("canary.yaml:3: kpis.x", "unknown key")])

    async with _asking(_service(reload=reload, options=WebOptions(enable_lifecycle=True))) as client:
        async with client.post("/-/reload") as answer:
            status, text = answer.status, await answer.text()
        async with client.get("/metrics") as answer:
            metrics = await answer.text()

    assert status == 500
    assert "canary.yaml:3" in text
    assert "canary_config_last_reload_successful 0.0" in metrics


async def test_signals_reload_and_end_the_service() -> None:
    """SIGHUP reloads, SIGTERM ends `run` in good order."""
    reloaded = asyncio.Event()

    async def reload() -> None:
        reloaded.set()

    def listens() -> bool:
        return all(signal.getsignal(one) not in before for one in (signal.SIGHUP, signal.SIGTERM))

    before = {signal.SIG_DFL, signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)}
    running = asyncio.create_task(_service(reload=reload).run())
    await eventually(listens, "the service takes signals")  # before it does, one would end the tests themselves
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(reloaded.wait(), 10)
    os.kill(os.getpid(), signal.SIGTERM)

    await asyncio.wait_for(running, 10)


async def test_the_landing_page_links_and_escapes() -> None:
    """The page at `/` shows the service's state without letting it become HTML."""
    shell = _service(status=lambda: {"Schema": "<b>orders.total is gone</b>"})
    async with _asking(shell) as client, client.get("/") as answer:
        page = await answer.text()

    assert 'href="metrics"' in page
    assert "&lt;b&gt;orders.total is gone&lt;/b&gt;" in page


async def test_a_service_may_bring_its_own_page() -> None:
    """A route for `/` replaces the landing page."""

    async def page(_call: Call) -> web.Response:
        return web.Response(text="mine")

    own = [Route(method="GET", path="/", handler=page)]
    async with _asking(_service(routes=own)) as client, client.get("/") as answer:
        text = await answer.text()

    assert text == "mine"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(":9877", ("", 9877)), ("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:9877", ("::1", 9877)), ("shop:0", ("shop", 0))],
)
def test_addresses_are_read_as_prometheus_writes_them(text: str, expected: tuple[str, int]) -> None:
    """Host and port are split, with an IPv6 host in brackets and an empty host for every interface."""
    assert split_address(text) == expected


@pytest.mark.parametrize("text", ["9877", "localhost", "::1:9877", "host:port", "host:70000"])
def test_faulty_addresses_are_refused(text: str) -> None:
    """What is not host:port is refused with an example."""
    with pytest.raises(WebConfigError, match=r"127\.0\.0\.1:9877"):
        split_address(text)


async def test_an_empty_host_means_every_interface() -> None:
    """`:0` listens on a free port of every interface."""
    async with _service(options=WebOptions(addresses=(":0",))).serving() as urls, aiohttp.ClientSession() as client:
        port = urls[0].rpartition(":")[2]
        async with client.get(f"http://127.0.0.1:{port}/-/healthy") as answer:
            status = answer.status

    assert status == 200


async def test_a_taken_address_is_named() -> None:
    """When the port is taken, the message names the flag and the address."""
    async with _service().serving() as urls:
        taken = urls[0].removeprefix("http://")

        with pytest.raises(WebConfigError, match=taken):
            async with _service(options=WebOptions(addresses=(taken,))).serving():
                pass


def test_the_flags_become_options() -> None:
    """The command line's flags reach the service as one value."""
    seen: list[WebOptions] = []

    @click.command()
    @web_options("127.0.0.1:9877")
    def command(web_options: WebOptions) -> None:
        seen.append(web_options)

    arguments = ["--web.listen-address", ":1", "--web.listen-address", ":2", "--web.enable-lifecycle"]
    outcomes = [CliRunner().invoke(command, given).exit_code for given in ([], arguments)]

    assert outcomes == [0, 0]
    assert seen[0].addresses == ("127.0.0.1:9877",)
    assert seen[1] == WebOptions((":1", ":2"), None, "/metrics", enable_lifecycle=True)

"""`/metrics` of both services: what each says about itself, and how a scrape is answered."""

import asyncio
import gzip
import sys
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from canary import names
from canary.timing.clock import Clock
from canary.web.routes.table import Call, Handler, Refusal, Route, Table
from canary.web.strangers.connections import ENDED, Connections

VERSION: Final = version("kpi-canary")  # read once, because it is read from disk

# What the answer's way to Prometheus is given, as its own exporters do: refused in time, a scrape says why it failed.
_SCRAPE_TIMEOUT_OFFSET_SECONDS = 0.5

# Prometheus' own default, for whoever asks without saying its limit.
_DEFAULT_SCRAPE_TIMEOUT_SECONDS = 10.0

# A shorter answer fits into one packet either way.
_COMPRESS_FROM_BYTES = 1024


class ShellCollector(Collector):
    """What every service says about itself: build, and whether its last reload worked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reloaded = True
        self._reloaded_at = clock.now().timestamp()
        self._connections: Connections | None = None

    def watch(self, connections: Connections) -> None:
        """Tell about a server's connections from now on."""
        self._connections = connections

    def reloaded(self, *, successful: bool) -> None:
        """Remember how a reload ended."""
        self._reloaded = successful
        if successful:
            self._reloaded_at = self._clock.now().timestamp()

    def collect(self) -> Iterable[Metric]:
        """Fresh values for one scrape."""
        build = GaugeMetricFamily(
            names.BUILD_INFO, "Version of kpi-canary and of Python, value 1.", labels=["version", "pythonversion"]
        )
        build.add_metric([VERSION, ".".join(map(str, sys.version_info[:3]))], 1)
        yield build
        yield GaugeMetricFamily(
            names.CONFIG_LAST_RELOAD_SUCCESSFUL, "Whether the last reload of the policy worked.", float(self._reloaded)
        )
        yield GaugeMetricFamily(
            names.CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS,
            "When the policy was last read without a fault.",
            self._reloaded_at,
        )
        if self._connections is not None:
            yield from _of_connections(self._connections)


def _of_connections(connections: Connections) -> Iterable[Metric]:
    yield GaugeMetricFamily(names.WEB_CONNECTIONS, "HTTP connections that are open.", len(connections))
    yield GaugeMetricFamily(names.WEB_CONNECTIONS_LIMIT, "HTTP connections that may be open.", connections.most)
    ended = CounterMetricFamily(
        names.WEB_CONNECTIONS_ENDED_TOTAL,
        "HTTP connections closed by this side: crowded, slow, idle, or without a TLS handshake.",
        labels=["cause"],
    )
    for cause in ENDED:
        ended.add_metric([cause], connections.ended[cause])
    yield ended


class PolicyCollector(Collector):
    """By which policy a service goes, as its digest: exporter, receiver and rules are compared by it.

    Args:
        component: one of `names.COMPONENTS`.
        digest: gives the digest of the policy that is in use at that moment.
    """

    def __init__(self, component: str, service: str, digest: Callable[[], str]) -> None:
        self._labels = (service, component)
        self._digest = digest

    def describe(self) -> Iterable[Metric]:
        """Nothing: which rollout runs is not known yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """One series."""
        labels = [names.SERVICE, *names.LABELS[names.POLICY_INFO]]
        info = GaugeMetricFamily(names.POLICY_INFO, "The policy in use, by its digest; value 1.", labels=labels)
        info.add_metric([*self._labels, self._digest()], 1)
        yield info


def service_registry() -> CollectorRegistry:
    """A registry with the process's own metrics, for a service to add its collectors to."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


async def scraped(request: web.Request, shown: Collector, renderer: ThreadPoolExecutor | None) -> web.Response:
    """The answer to a scrape, rendered in the *renderer*'s thread, in the form that the request accepts.

    Raises:
        Refusal: the scrape's time limit came first.
    """
    encode, content_type = choose_encoder(",".join(request.headers.getall("Accept", [])))
    wanted = request.query.getall("name[]", [])
    squeeze = "gzip" in request.headers.get("Accept-Encoding", "")

    def render() -> tuple[bytes, bool]:
        # What encoders use of a registry is the one method that each collector has.
        series: Any = _Named(shown, wanted) if wanted else _Used(shown)
        body = encode(series)
        small = not squeeze or len(body) < _COMPRESS_FROM_BYTES
        return (body, False) if small else (gzip.compress(body, 3), True)

    work = asyncio.get_running_loop().run_in_executor(renderer, render)
    try:
        async with asyncio.timeout(_time_limit(request)):
            body, squeezed = await work
    except TimeoutError:
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE, "the metrics were not ready within the scrape's time limit"
        ) from None
    headers = {"Content-Type": content_type} | ({"Content-Encoding": "gzip"} if squeezed else {})
    return web.Response(body=body, headers=headers)


def telemetry(
    path: str, parts: Iterable[str], shown: Callable[[web.Request, str], Collector], renderer: ThreadPoolExecutor | None
) -> Table:
    """The route of all metrics, and below it one for each part; *shown* gives what a scrape of one is about."""

    def shows(part: str) -> Handler:
        async def handler(call: Call) -> web.Response:
            return await scraped(call.request, shown(call.request, part), renderer)

        return handler

    below = path.rstrip("/")
    return (
        Route(method="GET", path=path, handler=shows("")),
        *(Route(method="GET", path=f"{below}/{part}", handler=shows(part)) for part in parts),
    )


class _Used(Collector):
    """All families, without the moments at which counters and histograms began.

    The client library serves each as a series of its own, `_created`, that no rule and no dashboard reads: with
    OpenMetrics that was one series in sixteen.
    """

    def __init__(self, shown: Collector) -> None:
        self._shown = shown

    def collect(self) -> Iterable[Metric]:
        """Families with the samples that are of use."""
        for family in self._shown.collect():
            if family.type in ("counter", "histogram"):
                family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class _Named(Collector):
    """Of a collector's families those that a scrape asks for by `name[]`, as Prometheus' client library does.

    Its own restriction knows only collectors that say beforehand which families they will have, and ours cannot.
    """

    def __init__(self, shown: Collector, wanted: Collection[str]) -> None:
        self._shown = shown
        self._wanted = wanted

    def collect(self) -> Iterable[Metric]:
        """Families of which a sample has one of the names, with those samples."""
        for family in self._shown.collect():
            family.samples = [sample for sample in family.samples if sample.name in self._wanted]
            if family.samples:
                yield family


def _time_limit(request: web.Request) -> float:
    """Prometheus' own limit, less what the answer's way takes."""
    try:
        wanted = float(request.headers.get("X-Prometheus-Scrape-Timeout-Seconds", ""))
    except ValueError:
        wanted = _DEFAULT_SCRAPE_TIMEOUT_SECONDS
    return max(wanted - _SCRAPE_TIMEOUT_OFFSET_SECONDS, 0.05)

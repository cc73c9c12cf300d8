"""The shell of both services: Prometheus-family flags and endpoints, reload, graceful end.

A service brings an aiohttp router, a registry of collectors and its own background work; the shell adds `/metrics`,
`/-/healthy`, `/-/ready`, `/-/reload`, the landing page, TLS and authentication, and the signals.
"""

import asyncio
import contextlib
import gzip
import html
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from canary import names
from canary.clock import Clock, SystemClock
from canary.errors import CanaryError, WebConfigError
from canary.logs import Log
from canary.webauth import Guard
from canary.webconfig import WebConfig, load_web_config
from canary.weboptions import WebOptions, split_address

_SCRAPE_TIMEOUT_OFFSET_SECONDS = 0.5
_DEFAULT_SCRAPE_TIMEOUT_SECONDS = 10.0
_WATCH_SECONDS = 1.0
_COMPRESS_FROM_BYTES = 1024
_VERSION = version("kpi-canary")  # read once, because it is read from disk

Reload = Callable[[], Awaitable[None]]


class ShellCollector(Collector):
    """What every service says about itself: build, and whether its last reload worked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reloaded = True
        self._reloaded_at = clock.now().timestamp()

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
        build.add_metric([_VERSION, ".".join(map(str, sys.version_info[:3]))], 1)
        yield build
        yield GaugeMetricFamily(
            names.CONFIG_LAST_RELOAD_SUCCESSFUL, "Whether the last reload of the policy worked.", float(self._reloaded)
        )
        yield GaugeMetricFamily(
            names.CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS,
            "When the policy was last read without a fault.",
            self._reloaded_at,
        )


def service_registry() -> CollectorRegistry:
    """A registry with the process's own metrics, for a service to add its collectors to."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


async def _nothing() -> None:
    return None


@dataclass(kw_only=True)
class Service:
    """One service's web shell.

    Attributes:
        name: `exporter` or `receiver`.
        registry: what `/metrics` shows; collectors are called in a thread, so they must read immutable snapshots.
        routes: the service's own handlers; one for `GET /` replaces the landing page.
        reload: reads the policy again; raises `CanaryError` when it is bad, and then keeps the old one.
        ready: whether the service can do its work; while False, `/-/ready` answers 503.
        status: lines for the landing page, name to text.
        open_paths: paths that authenticate by themselves and are exempt from basic authentication.
        shutdown: ends connections that would stay open, before the server waits for them.
    """

    name: str
    options: WebOptions
    registry: CollectorRegistry = field(default_factory=service_registry)
    routes: Sequence[web.AbstractRouteDef] = ()
    middlewares: Sequence[Any] = ()
    reload: Reload = _nothing
    ready: Callable[[], bool] = lambda: True
    status: Callable[[], Mapping[str, str]] = dict
    open_paths: Collection[str] = ()
    shutdown: Callable[[], Awaitable[None]] = _nothing
    max_body_bytes: int = 1024**2
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        """Read the web configuration.

        Raises:
            WebConfigError: it is faulty.
        """
        self._log = Log(self.name)
        self._config = WebConfig()
        if self.options.config_file is not None:
            self._config = load_web_config(self.options.config_file)
        self._shell = ShellCollector(self.clock)
        self.registry.register(self._shell)
        self._stop = asyncio.Event()
        self._reloading = asyncio.Lock()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads.

        Raises:
            WebConfigError: an address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[object]] = set()

        def hang_up() -> None:
            task: asyncio.Task[object] = asyncio.ensure_future(self._reload())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async with self.serving():
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
            loop.add_signal_handler(signal.SIGHUP, hang_up)
            try:
                await self._stop.wait()
            finally:
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    loop.remove_signal_handler(number)
        self._log.info("stopped")

    def stop(self) -> None:
        """Make `run` return, as SIGTERM does."""
        self._stop.set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[list[str]]:
        """Listen while the block runs; gives the base URLs, with the real ports where 0 was asked for.

        Raises:
            WebConfigError: an address cannot be listened on.
        """
        guard = Guard(lambda: self._config, open_paths=self.open_paths)
        renderer = ThreadPoolExecutor(1, "metrics")
        runner = web.AppRunner(self._application(guard, renderer), access_log=None, shutdown_timeout=5)
        await runner.setup()
        with contextlib.ExitStack() as sockets:
            sockets.callback(guard.close)
            sockets.callback(renderer.shutdown, wait=False, cancel_futures=True)
            listening = [sockets.enter_context(_listen(address)) for address in self.options.addresses]
            sites = await self._open(runner, listening)
            scheme = "https" if self._config.tls else "http"
            urls = [f"{scheme}://{_host_port(one)}" for one in listening]
            self._log.info("listening", addresses=" ".join(urls), tls=self._config.tls is not None)
            watcher = asyncio.create_task(self._watch(runner, listening, sites))
            try:
                yield urls
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
                await runner.cleanup()

    async def _open(self, runner: web.AppRunner, listening: Sequence[socket.socket]) -> list[web.SockSite]:
        """Accept on copies of the sockets, so that the copies can be closed and no client is refused meanwhile."""
        sites = [web.SockSite(runner, one.dup(), ssl_context=self._config.tls) for one in listening]
        for site in sites:
            await site.start()
        return sites

    async def _watch(
        self, runner: web.AppRunner, listening: Sequence[socket.socket], sites: Sequence[web.SockSite]
    ) -> None:
        """Take over a changed web configuration or certificate; a bad one is reported and the old one stays."""
        seen = _fingerprint(self._config.files)
        while self.options.config_file is not None:
            await asyncio.sleep(_WATCH_SECONDS)
            now = _fingerprint(self._config.files)
            if now == seen:
                continue
            seen = now
            try:
                self._config = load_web_config(self.options.config_file)
            except WebConfigError as error:
                self._log.error("web configuration changed and is wrong; the old one stays", exception=error)
                continue
            for site in sites:
                await site.stop()
            sites = await self._open(runner, listening)
            seen = _fingerprint(self._config.files)
            self._log.info("web configuration read again")

    def _application(self, guard: Guard, renderer: ThreadPoolExecutor) -> web.Application:
        application = web.Application(
            middlewares=[self._headers, guard.middleware, *self.middlewares],  # type: ignore[list-item]  # aiohttp's old type
            client_max_size=self.max_body_bytes,
        )
        application.add_routes(self.routes)

        async def shut_down(_application: web.Application) -> None:
            await self.shutdown()

        application.on_shutdown.append(shut_down)
        if not any(isinstance(one, web.RouteDef) and (one.method, one.path) == ("GET", "/") for one in self.routes):
            application.router.add_get("/", self._landing)
        application.router.add_get("/-/healthy", self._healthy)
        application.router.add_get("/-/ready", self._is_ready)
        application.router.add_route("PUT", "/-/reload", self._reload_request)
        application.router.add_route("POST", "/-/reload", self._reload_request)

        async def metrics(request: web.Request) -> web.Response:
            return await self._metrics(request, renderer)

        application.router.add_get(self.options.telemetry_path, metrics)
        return application

    @property
    def _headers(self) -> Callable[[web.Request, Handler], object]:
        @web.middleware
        async def add(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                response = await handler(request)
            except web.HTTPException as refusal:
                refusal.headers.update(self._config.headers)
                raise
            response.headers.update(self._config.headers)
            return response

        return add

    async def _metrics(self, request: web.Request, renderer: ThreadPoolExecutor) -> web.Response:
        encode, content_type = choose_encoder(",".join(request.headers.getall("Accept", [])))
        wanted = request.query.getall("name[]", [])
        squeeze = "gzip" in request.headers.get("Accept-Encoding", "")

        def render() -> tuple[bytes, bool]:
            # restricted_registry has the one method that encoders use.
            registry: Any = self.registry.restricted_registry(wanted) if wanted else self.registry
            body = encode(registry)
            small = not squeeze or len(body) < _COMPRESS_FROM_BYTES
            return (body, False) if small else (gzip.compress(body, 3), True)

        work = asyncio.get_running_loop().run_in_executor(renderer, render)
        try:
            async with asyncio.timeout(_time_limit(request)):
                body, squeezed = await work
        except TimeoutError:
            raise web.HTTPServiceUnavailable(
                text="the metrics were not ready within the scrape's time limit\n"
            ) from None
        headers = {"Content-Type": content_type} | ({"Content-Encoding": "gzip"} if squeezed else {})
        return web.Response(body=body, headers=headers)

    async def _healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text=f"kpi-canary {self.name} is healthy.\n")

    async def _is_ready(self, _request: web.Request) -> web.Response:
        if not self.ready():
            raise web.HTTPServiceUnavailable(text=f"kpi-canary {self.name} is not ready yet.\n")
        return web.Response(text=f"kpi-canary {self.name} is ready.\n")

    async def _reload_request(self, _request: web.Request) -> web.Response:
        if not self.options.enable_lifecycle:
            raise web.HTTPForbidden(text="Lifecycle API is not enabled; start with --web.enable-lifecycle.\n")
        fault = await self._reload()
        if fault is not None:
            raise web.HTTPInternalServerError(text=f"failed to reload, the old policy stays:\n{fault}\n")
        return web.Response(text="")

    async def _reload(self) -> CanaryError | None:
        async with self._reloading:
            try:
                await self.reload()
            except CanaryError as error:
                self._shell.reloaded(successful=False)
                self._log.error("reload failed, the old policy stays", exception=error)
                return error
            self._shell.reloaded(successful=True)
            self._log.info("policy reloaded")
            return None

    async def _landing(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.landing_page(), content_type="text/html")

    def landing_page(self) -> str:
        """The page at `/`: what this is, its version, its state, and where everything else is."""
        rows = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(text)}</td></tr>" for key, text in self.status().items()
        )
        links = "".join(
            f'<li><a href="{html.escape(path)}">{html.escape(text)}</a></li>'
            for path, text in (
                (self.options.telemetry_path, "Metrics"),
                ("/-/healthy", "Health"),
                ("/-/ready", "Readiness"),
            )
        )
        title = f"kpi-canary {html.escape(self.name)}"
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
            f"</head><body><h1>{title}</h1><p>Version {_VERSION}</p>"
            f"<ul>{links}</ul><table>{rows}</table></body></html>\n"
        )


_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "th{text-align:left;padding-right:1em;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}"
)


def _time_limit(request: web.Request) -> float:
    """Prometheus' own limit, less what the answer's way takes."""
    try:
        wanted = float(request.headers.get("X-Prometheus-Scrape-Timeout-Seconds", ""))
    except ValueError:
        wanted = _DEFAULT_SCRAPE_TIMEOUT_SECONDS
    return max(wanted - _SCRAPE_TIMEOUT_OFFSET_SECONDS, 0.05)


def _fingerprint(files: Iterable[Path]) -> tuple[object, ...]:
    marks: list[object] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(marks)


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    try:
        if not host and socket.has_dualstack_ipv6():
            with contextlib.suppress(OSError):  # a kernel that knows IPv6 may have no address of it
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
        return socket.create_server(where[:2], family=family, backlog=128)
    except OSError as error:
        raise WebConfigError(f"--web.listen-address {address}: cannot listen ({error.strerror or error})") from error


def _host_port(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if host in ("::", "0.0.0.0"):
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

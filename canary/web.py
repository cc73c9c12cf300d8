"""The shell of both services: Prometheus-family flags and endpoints, reload, graceful end.

A service brings an aiohttp router, a registry of collectors and its own background work; the shell adds `/metrics`,
`/-/healthy`, `/-/ready`, `/-/reload`, the landing page, TLS and authentication, and the signals.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from canary.clock import Clock, SystemClock
from canary.errors import CanaryError, WebConfigError
from canary.logs import Log
from canary.webauth import Guard
from canary.webconfig import WebConfig, load_web_config
from canary.weblanding import landing_page
from canary.weblisten import host_port, listen
from canary.webmetrics import ShellCollector, scraped, service_registry
from canary.weboptions import WebOptions

_WATCH_SECONDS = 1.0

Reload = Callable[[], Awaitable[None]]


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
            listening = [sockets.enter_context(listen(address)) for address in self.options.addresses]
            sites = await self._open(runner, listening)
            scheme = "https" if self._config.tls else "http"
            urls = [f"{scheme}://{host_port(one)}" for one in listening]
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
            return await scraped(request, self.registry, renderer)

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
        text = landing_page(self.name, self.status(), self.options.telemetry_path)
        return web.Response(text=text, content_type="text/html")


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

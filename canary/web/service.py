"""The shell of both services: Prometheus-family flags and endpoints, reload, graceful end.

A service brings its table of routes, a registry of collectors and its own background work; the shell adds the routes of
`/metrics`, `/-/healthy`, `/-/ready`, `/-/reload` and the landing page, TLS, the checks of requests, and the signals.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from canary.errors import CanaryError, WebConfigError
from canary.logs import Log
from canary.timing.clock import Clock, SystemClock
from canary.web.auth import Users
from canary.web.checks import RequestChecks
from canary.web.config import WebConfig, fingerprint, load_web_config
from canary.web.doors import ANY_METHOD, BELOW, Doors
from canary.web.landing import landing_page
from canary.web.metrics import ShellCollector, service_registry, telemetry
from canary.web.options import WebOptions
from canary.web.routes.table import Access, Call, Forgery, ReadersOnly, Refusal, Route, Table
from canary.web.server import ServerLog, host_port, listen
from canary.web.strangers.attempts import Attempts
from canary.web.strangers.connections import Connections
from canary.web.strangers.peers import Peers

# How often the web configuration's files are looked at: a `stat` each, and a renewed certificate is in force at once.
_WATCH_SECONDS = 1.0

# How long the end waits for answers that are being written: longer than any but a scrape takes, and well within the
# 10 s after which container engines kill.
_SHUTDOWN_SECONDS = 5.0

Reload = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    return None


@dataclass(kw_only=True)
class Service:
    """One service's web shell.

    Attributes:
        name: `exporter` or `receiver`.
        registry: what `/metrics` shows; collectors are called in a thread, so they must read immutable snapshots.
        routes: the service's own part of the table; one for `GET /` replaces the landing page.
        access: knows who has which role.
        reload: reads the policy again; raises `CanaryError` when it is bad, and then keeps the old one.
        ready: whether the service can do its work; while False, `/-/ready` answers 503.
        hosts: names under which others are told to reach it.
        status: lines for the landing page, name to text.
        shutdown: ends connections that would stay open, before the server waits for them.
        max_body_bytes: limit of a request's body, unpacked, where its route says none.
        others: gives the shell of a service behind this address; None for one that does not run.
        parts: what is shown below the path of metrics, by its name there: few series, for those who scrape them often.
    """

    name: str
    options: WebOptions
    registry: CollectorRegistry = field(default_factory=service_registry)
    routes: Table = ()
    access: Access = field(default_factory=ReadersOnly)
    reload: Reload = _nothing
    ready: Callable[[], bool] = lambda: True
    hosts: Callable[[], Collection[str]] = tuple
    status: Callable[[], Mapping[str, str]] = dict
    shutdown: Callable[[], Awaitable[None]] = _nothing
    max_body_bytes: int = 1024**2
    clock: Clock = field(default_factory=SystemClock)
    others: "Callable[[str], Service | None] | None" = None
    parts: Mapping[str, Collector] = field(default_factory=dict)

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

    async def ended(self) -> None:
        """Return once it was told to stop."""
        await self._stop.wait()

    def stop(self) -> None:
        """Make `run` return, as SIGTERM does."""
        self._stop.set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[list[str]]:
        """Listen while the block runs; gives the base URLs, with the real ports where 0 was asked for.

        Raises:
            WebConfigError: an address cannot be listened on.
        """
        attempts = Attempts(self.clock)
        users = Users(lambda: self._config, attempts)
        renderer = ThreadPoolExecutor(1, "metrics")
        runner = web.AppRunner(
            self._application(users, attempts, renderer),
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            logger=ServerLog(self._log, self.clock),
            auto_decompress=False,  # `canary.web.routes.bodies` does it, for those who may send a body
        )
        await runner.setup()
        assert runner.server is not None  # setup has made it
        connections = Connections(
            self.options.max_connections, runner.server, lambda: self._config.tls, self.clock, self._log
        )
        self._shell.watch(connections)
        with contextlib.ExitStack() as sockets:
            sockets.callback(users.close)
            sockets.callback(renderer.shutdown, wait=False, cancel_futures=True)
            listening = [sockets.enter_context(listen(address)) for address in self.options.addresses]
            scheme = "https" if self._config.tls else "http"
            urls = [f"{scheme}://{host_port(one)}" for one in listening]
            self._log.info("listening", addresses=" ".join(urls), tls=self._config.tls is not None)
            watcher = asyncio.create_task(self._watch())
            try:
                with connections.accepting(listening):
                    yield urls
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
                await runner.cleanup()

    async def _watch(self) -> None:
        """Take over a changed web configuration or certificate; a bad one is reported and the old one stays."""
        seen = fingerprint(self._config.files)
        while self.options.config_file is not None:
            await asyncio.sleep(_WATCH_SECONDS)
            now = fingerprint(self._config.files)
            if now == seen:
                continue
            seen = now
            try:
                self._config = load_web_config(self.options.config_file)
            except WebConfigError as error:
                self._log.error("web configuration changed and is wrong; the old one stays", exception=error)
                continue
            seen = fingerprint(self._config.files)
            self._log.info("web configuration read again")

    @property
    def peers(self) -> Peers:
        """Who asks, and by which names it may be asked."""
        options = self.options
        return Peers(options.trusted_proxies, lambda: (*self.hosts(), options.place.host), options.allowed_hosts)

    def table(self, renderer: ThreadPoolExecutor | None = None) -> Table:
        """Every route that is served: the service's own, and the shell's."""
        own_page = any((route.method, route.path) == ("GET", "/") for route in self.routes)
        return (
            *self.routes,
            *(() if own_page else (Route(method="GET", path="/", handler=self._landing),)),
            Route(method="GET", path="/-/healthy", handler=self._healthy, any_host=True),
            Route(method="GET", path="/-/ready", handler=self._is_ready, any_host=True),
            Route(method="PUT", path="/-/reload", handler=self._reload_request),
            Route(method="POST", path="/-/reload", handler=self._reload_request, forgery=Forgery.ORIGIN),
            *telemetry(self.options.telemetry_path, self.parts, self._shown, renderer),
        )

    def _shown(self, request: web.Request, part: str) -> Collector:
        """All series, or a part; where there are several services, those of the one that `?service=` names."""
        name = request.query.get("service")
        one = self.others(name) if name is not None and self.others is not None else self
        if one is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f"no service {(name or '')[:100]!a} runs here")
        return one.parts[part] if part else one.registry

    def _application(self, users: Users, attempts: Attempts, renderer: ThreadPoolExecutor) -> web.Application:
        place = self.options.place

        def checks_of(one: Service) -> RequestChecks:
            return RequestChecks(
                one.table(renderer), one.access, users, one.peers, attempts, one.max_body_bytes, one.options.place
            )

        doors = Doors(self.others, checks_of) if self.others is not None else None
        checks = RequestChecks(
            self.table(renderer), self.access, users, self.peers, attempts, self.max_body_bytes, place, doors=doors
        )
        application = web.Application(
            middlewares=[self._headers, checks.middleware],  # type: ignore[list-item]  # aiohttp's old type
            client_max_size=self.max_body_bytes,
        )
        checks.register(application.router)
        for path in ("/", place.prefix) if place.prefix else ():
            application.router.add_get(path, self._to_the_page)
        if doors is not None:
            below = f"{place.prefix}/{BELOW}"
            application.router.add_route(ANY_METHOD, f"{below}/{{service}}/{{rest:.*}}", self._to_the_page)
            application.router.add_get(f"{below}/{{name}}", self._to_the_page)

        async def shut_down(_application: web.Application) -> None:
            await self.shutdown()

        application.on_shutdown.append(shut_down)
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

    async def _to_the_page(self, request: web.Request) -> web.StreamResponse:
        """From an address without its slash to the page below it."""
        name = request.match_info.get("name")
        raise web.HTTPFound(self.options.place.root + (f"{BELOW}/{name}/" if name else ""))

    async def _healthy(self, _call: Call) -> web.Response:
        return web.Response(text=f"kpi-canary {self.name} is healthy.\n")

    async def _is_ready(self, _call: Call) -> web.Response:
        if not self.ready():
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"kpi-canary {self.name} is not ready yet.")
        return web.Response(text=f"kpi-canary {self.name} is ready.\n")

    async def _reload_request(self, _call: Call) -> web.Response:
        if not self.options.enable_lifecycle:
            raise Refusal(
                HTTPStatus.FORBIDDEN, "Lifecycle API is not enabled", remedy="start with --web.enable-lifecycle"
            )
        fault = await self._reload()
        if fault is not None:
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f"failed to reload, the old policy stays:\n{fault}")
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

    async def _landing(self, _call: Call) -> web.Response:
        text = landing_page(self.name, self.status(), self.options.telemetry_path)
        return web.Response(text=text, content_type="text/html")

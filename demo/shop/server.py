"""A small real shop: browse, cart, checkout, pay, feedback. One process is one version.

Run as `python -m demo.shop.server --version v1.0 --port 8001 --database sqlite+aiosqlite:///shop.db`. The faults of a
version are read and set at `/-/faults`; Prometheus scrapes `/metrics`.
"""

import asyncio
import logging
import math
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar, cast

import click
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from canary.errors import DatabaseUnavailableError
from canary.timing.clock import Clock, SystemClock
from demo.luck import luck
from demo.shop.faults import Faults
from demo.shop.flags import STANDARD, CheckoutFlag
from demo.shop.metrics import Metrics
from demo.shop.store import Store, UnknownRowError, open_engine

# By this customers, and so the demo, know who answered; HAProxy does not add it, so it cannot be wrong about itself.
VERSION_HEADER = "X-Shop-Version"
VISITOR_COOKIE = "user_id"

# A healthy shop loses some payments as well: cards expire and accounts run dry.
USUAL_PAYMENT_FAILURE_RATIO = 0.03
# Some payments are still pending when a verdict is due: the hard case for a rate of success.
PAYMENT_SERVICE_MEDIAN_SECONDS = 8.0
# What has begun may end before the process does.
DRAIN_SECONDS = 5.0

T = TypeVar("T")
_log = logging.getLogger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Shop:
    """One version of the shop; *speed* compresses the minutes that a payment service takes.

    Without a *flag* every checkout is the standard one.
    """

    def __init__(
        self,
        store: Store,
        version: str,
        *,
        clock: Clock,
        random: Random,
        speed: float = 1.0,
        flag: CheckoutFlag | None = None,
    ) -> None:
        self.faults = Faults()
        self._store = store
        self._version = version
        self._clock = clock
        self._random = random
        self._speed = speed
        self._flag = flag
        self._metrics = Metrics(version)
        self._under_way: set[asyncio.Task[object]] = set()

    def application(self) -> web.Application:
        """The shop as an aiohttp application."""
        app = web.Application(middlewares=[self._measured])
        app.add_routes(
            [
                web.get("/", self._browse, name="browse"),
                web.get("/products/{product}", self._product, name="product"),
                web.post("/carts", self._add_cart, name="cart"),
                web.post("/checkout", self._checkout, name="checkout"),
                web.post("/payments", self._pay, name="pay"),
                web.get("/payments/{payment}", self._payment, name="payment"),
                web.post("/feedback", self._feedback, name="feedback"),
                web.get("/metrics", self._publish),
                web.get("/-/healthy", self._healthy),
                web.get("/-/faults", self._get_faults),
                web.put("/-/faults", self._put_faults),
            ]
        )
        app.on_shutdown.append(self._drain)
        return app

    @web.middleware
    async def _measured(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        endpoint = request.match_info.route.name
        if endpoint is None:
            return await handler(request)
        started = self._clock.monotonic()
        # A customer who hangs up, or a shop that closes, does not tear what is being written.
        response = await asyncio.shield(self._begin(self._answer(request, handler)))
        self._metrics.answered(endpoint, response.status, self._clock.monotonic() - started)
        response.headers[VERSION_HEADER] = self._version
        return response

    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if self.faults.latency_seconds:
            await self._clock.sleep(self.faults.latency_seconds)
        if self._random.random() < self.faults.error_ratio:
            return _problem(500, "the shop stumbled")
        try:
            return await handler(request)
        except DatabaseUnavailableError as error:
            self._metrics.database_out_of_reach()
            _log.warning("%s", error)
            return _problem(503, "the order database is out of reach")
        except UnknownRowError as error:
            return _problem(404, str(error))
        except ValueError as error:
            return _problem(400, str(error))

    async def _browse(self, request: web.Request) -> web.Response:
        visitor = request.cookies.get(VISITOR_COOKIE, "")[:64] or f"{self._random.getrandbits(64):016x}"
        visit_id = await self._store.add_visit(visitor)
        response = web.json_response({"visit_id": visit_id, "version": self._version})
        if VISITOR_COOKIE not in request.cookies:
            response.set_cookie(VISITOR_COOKIE, visitor, max_age=2_592_000, samesite="Lax")
        return response

    async def _product(self, request: web.Request) -> web.Response:
        return web.json_response({"product": request.match_info["product"], "version": self._version})

    async def _add_cart(self, request: web.Request) -> web.Response:
        cart_id = await self._store.add_cart(await _number(request, "visit_id"))
        return web.json_response({"cart_id": cart_id}, status=201)

    async def _checkout(self, request: web.Request) -> web.Response:
        await self._store.start_checkout(await _number(request, "cart_id"))
        # The quiet kind of fault: every page answers 200, only the button that pays is not there.
        payable = self._random.random() >= self.faults.dropped_checkout_ratio
        variant = await self._variant(request.cookies.get(VISITOR_COOKIE, ""))
        self._metrics.checkout(variant)
        return web.json_response({"payable": payable, "checkout": variant})

    async def _variant(self, user: str) -> str:
        return await self._flag.variant(user) if self._flag and user else STANDARD

    async def _pay(self, request: web.Request) -> web.Response:
        cart_id, amount = await _number(request, "cart_id"), await _number(request, "amount_cents") / 100
        payment_id = await self._store.start_payment(cart_id, amount)
        self._begin(self._settle(payment_id, cart_id, amount)).add_done_callback(self._settled)
        return web.json_response({"payment_id": payment_id, "status": "pending"}, status=202)

    async def _settle(self, payment_id: int, cart_id: int, amount: float) -> None:
        median_seconds = PAYMENT_SERVICE_MEDIAN_SECONDS / self._speed
        await self._clock.sleep(self._random.lognormvariate(math.log(median_seconds), 0.5))
        failure_ratio = max(USUAL_PAYMENT_FAILURE_RATIO, self.faults.payment_failure_ratio)
        succeeded = self._random.random() >= failure_ratio
        await self._store.settle_payment(payment_id, cart_id, amount, succeeded=succeeded)

    def _settled(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, DatabaseUnavailableError):
            self._metrics.database_out_of_reach()
        _log.error("a payment stays pending: %s", error)

    async def _payment(self, request: web.Request) -> web.Response:
        payment = await self._store.payment(int(request.match_info["payment"]))
        return web.json_response(asdict(payment))

    async def _feedback(self, request: web.Request) -> web.Response:
        score = await _number(request, "score")
        if not 1 <= score <= 5:
            raise ValueError(f"score: expected 1 to 5, found {score}")
        feedback_id = await self._store.add_feedback(await _number(request, "order_id"), score)
        return web.json_response({"feedback_id": feedback_id}, status=201)

    async def _publish(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text="healthy\n", headers={VERSION_HEADER: self._version})

    async def _get_faults(self, _request: web.Request) -> web.Response:
        return web.json_response(asdict(self.faults))

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            self.faults = self.faults.changed(await request.json())
        except ValueError as error:
            return _problem(400, str(error))
        return web.json_response(asdict(self.faults))

    def _begin(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _drain(self, _app: web.Application) -> None:
        """Let the requests and payments that are under way come to an end before the process does."""
        deadline = self._clock.monotonic() + DRAIN_SECONDS
        while self._under_way and (left := deadline - self._clock.monotonic()) > 0:
            await asyncio.wait(self._under_way, timeout=left)


async def _ending_with(pid: int, _app: web.Application) -> AsyncIterator[None]:
    """End with another process: whoever starts the canary's shop leaves it at once, and can be nobody's parent."""
    handle = os.pidfd_open(pid)
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(handle)  # once: a second signal would interrupt what is being closed
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(handle, end)
    yield
    loop.remove_reader(handle)
    os.close(handle)


def _problem(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


async def _number(request: web.Request, name: str) -> int:
    body = cast("object", await request.json())
    value = body.get(name) if isinstance(body, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**53:
        raise ValueError(f"{name}: expected a whole number from 1 on, found {value!r}")
    return value


@click.command()
@click.option("--version", required=True, help="What this process calls itself, such as v1.0.")
@click.option("--port", type=int, required=True, help="Port on 127.0.0.1.")
@click.option("--database", required=True, help="SQLAlchemy address of the order database.")
@click.option("--speed", type=float, default=1.0, help="How many times faster than real a payment settles.")
@click.option("--seed", type=int, default=0, help="Makes the shop's luck repeatable.")
@click.option("--flags", type=(str, click.Path(path_type=Path)), help="The receiver's URL, and a file with its token.")
@click.option("--demo", type=int, help="The process that this shop ends with, even where that is killed.")
def main(
    version: str, port: int, database: str, speed: float, seed: int, flags: tuple[str, Path] | None, demo: int | None
) -> None:
    """Run one version of the shop until it is stopped."""
    engine = open_engine(database)
    clock, random = SystemClock(), luck(version, seed)
    flag = CheckoutFlag(flags[0], flags[1].read_text(encoding="utf-8").strip()) if flags else None
    shop = Shop(Store(engine, version, clock), version, clock=clock, random=random, speed=speed, flag=flag)
    app = shop.application()

    async def close(_app: web.Application) -> None:
        await engine.dispose()

    app.on_cleanup.append(close)
    if demo is not None:
        app.cleanup_ctx.append(partial(_ending_with, demo))
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, backlog=512)


if __name__ == "__main__":
    main()

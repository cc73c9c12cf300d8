"""The shop's customers: they come, look, fill carts, pay, and remember which version served them.

They are what makes the demo more than a load test: a conversion that takes minutes, people who come back, and a harm
that customers meet and no status code shows. What they remember is held against what the stack says of itself, so the
demo does not believe its own dashboards. The times they think are those of a real shop, divided by the demo's *speed*.
"""

import asyncio
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

import aiohttp

from canary.timing.clock import Clock
from demo.luck import luck
from demo.shop.flags import EXPRESS
from demo.shop.server import VERSION_HEADER, VISITOR_COOKIE

# As a browser: an answer that takes that long is none.
REQUEST_TIMEOUT_SECONDS = 30.0
LATE_SECONDS = 8.0
"""An answer that takes longer harms a customer as an error does."""
# Payment services answer in seconds, some in minutes; whoever has waited longer believes that it failed.
PAYMENT_PATIENCE_SECONDS = 180.0
PAYMENT_POLL_SECONDS = 6.0

# Shares of customers who go on from one step to the next, and the medians of the time they think before it. More of
# them buy than in any real shop (about a third), so that a minute of demo has enough payments for a verdict.
RETURNING_RATIO = 0.3
CART_RATIO = 0.45
CHECKOUT_RATIO = 0.7
PAY_RATIO = 0.98
FEEDBACK_RATIO = 0.3
LOOK_SECONDS = 20.0
CART_SECONDS = 45.0
CHECKOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Encounter:
    """One thing that happened to one customer: a request, or the end of a payment.

    *version* is the one that answered, or empty when none did; *status* is the HTTP status, or 0 without an answer.
    """

    at: datetime
    user: str
    version: str
    step: str
    status: int
    failed: bool

    @property
    def request(self) -> bool:
        """Whether the version answered just then; the other encounters are conclusions."""
        return self.step not in ("settlement", "till", EXPRESS)


@dataclass(frozen=True)
class Answer:
    """What one version of the shop answered; *body* is nothing when it was no success."""

    version: str
    body: dict[str, int | str | None] | None

    def number(self, name: str) -> int:
        """A number in the answer, such as the id of a visit.

        Raises:
            ValueError: it is not there; the shop and its customers do not speak the same language.
        """
        value = (self.body or {}).get(name)
        if not isinstance(value, int):
            raise ValueError(f"{name}: expected a number in the shop's answer, found {self.body!r}")  # noqa: TRY004 - bad data
        return value


_BUSY_RATIO = 0.05
"""Of all requests. A rollback leaves a handful of them unanswered at most."""


@dataclass
class Memory:
    """What all customers together remember."""

    encounters: list[Encounter] = field(default_factory=list)

    def at(self, version: str, step: str | None = None) -> Iterator[Encounter]:
        """The encounters with one version, in order."""
        return (e for e in self.encounters if e.version == version and step in (None, e.step))

    def since(self, moment: datetime) -> list[Encounter]:
        """The encounters from a moment on, newest first."""
        return list(itertools.takewhile(lambda e: e.at >= moment, reversed(self.encounters)))

    def users(self, version: str | None = None) -> set[str]:
        """Everybody who was served by a version, or by any."""
        return {e.user for e in self.encounters if e.version and version in (None, e.version)}

    def took(self, step: str, since: datetime | None = None) -> set[str]:
        """Everybody who got through one step, at any version, from a moment on or ever."""
        return {e.user for e in self.encounters if e.step == step and not e.failed and (since is None or e.at >= since)}

    def harmed(self, version: str, since: datetime) -> set[str]:
        """Everybody who met an error, a late answer, a missing button or a failed payment there, from a moment on."""
        return {e.user for e in self.at(version) if e.failed and e.at >= since}

    def unanswered(self) -> int:
        """Requests that no version answered: refused, cut off, or turned away by the router."""
        return sum(1 for e in self.encounters if not e.version)

    def left_unanswered(self) -> str:
        """How many that were, for the demo's summary; and what to do where the machine was too slow for its shop."""
        count = self.unanswered()
        said = f"{count} request{' was' if count == 1 else 's were'} left without an answer."
        if count <= _BUSY_RATIO * len(self.encounters):
            return said
        return f"{said} This machine is too busy for so many customers: try again with ARGS='--rate 10'."


def arrivals(seed: int, rate_per_second: float) -> Iterator[tuple[float, str]]:
    """Who comes in, and how many seconds after the opening; some have been here before."""
    random = luck("arrivals", seed)
    users: list[str] = []
    seconds = 0.0
    while True:
        seconds += random.expovariate(rate_per_second)
        if users and random.random() < RETURNING_RATIO:
            user = random.choice(users)
        else:
            user = f"{random.getrandbits(64):016x}"
            users.append(user)
        yield seconds, user


class Customers:
    """A seeded stream of customers at the shop's front door.

    *rate_per_second* is how many come in; *speed* divides the time they think, as it divides the policy's durations.
    """

    def __init__(
        self,
        front_url: str,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        rate_per_second: float,
        speed: float,
        seed: int = 0,
    ) -> None:
        self.memory = Memory()
        self.rate_per_second = rate_per_second
        self._front_url = front_url.rstrip("/")
        self._session = session
        self._clock = clock
        self._speed = speed
        self._seed = seed

    async def run(self) -> None:
        """Let customers come in until cancelled; those inside then leave."""
        began = self._clock.monotonic()
        async with asyncio.TaskGroup() as inside:
            for number, (seconds, user) in enumerate(arrivals(self._seed, self.rate_per_second)):
                await self._clock.sleep(max(0.0, began + seconds - self._clock.monotonic()))
                inside.create_task(self.visit(user, number))

    async def visit(self, user: str, number: int) -> None:
        """One customer's whole visit, as far as it goes; what goes wrong is remembered, not raised."""
        customer = _Customer(self, user, luck("customer", self._seed, number))
        await customer.shop()

    async def think(self, random: Random, median_seconds: float) -> None:
        """Let a customer think for a while."""
        await self._clock.sleep(random.lognormvariate(math.log(median_seconds / self._speed), 0.5))

    async def ask(self, user: str, step: str, method: str, path: str, **body: int) -> Answer:
        """Send one request as *user* and remember how it went."""
        version, status, text, asked = "", 0, "", self._clock.monotonic()
        try:
            async with self._session.request(
                method,
                self._front_url + path,
                json=body or None,
                headers={"Cookie": f"{VISITOR_COOKIE}={user}"},
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
            ) as response:
                version, status = response.headers.get(VERSION_HEADER, ""), response.status
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        answered = 200 <= status < 300
        late = self._clock.monotonic() - asked > LATE_SECONDS
        self.remember(user, version, step, status, failed=late or not answered)
        return Answer(version, json.loads(text) if answered else None)

    def remember(self, user: str, version: str, step: str, status: int, *, failed: bool) -> None:
        """Keep what happened."""
        self.memory.encounters.append(Encounter(self._clock.now(), user, version, step, status, failed))

    async def settlement(self, user: str, payment_id: int) -> dict[str, int | str | None] | None:
        """Wait for a payment to end; nothing when it did not within the customer's patience."""
        for _ in range(math.ceil(PAYMENT_PATIENCE_SECONDS / PAYMENT_POLL_SECONDS)):
            await self._clock.sleep(PAYMENT_POLL_SECONDS / self._speed)
            payment = (await self.ask(user, "payment", "GET", f"/payments/{payment_id}")).body
            if payment is not None and payment["status"] != "pending":
                return payment
        return None


class _Customer:
    """One customer in the shop."""

    def __init__(self, customers: Customers, user: str, random: Random) -> None:
        self._all = customers
        self._user = user
        self._random = random

    async def _think(self, median_seconds: float) -> None:
        await self._all.think(self._random, median_seconds)

    async def _ask(self, step: str, method: str, path: str, **body: int) -> Answer:
        return await self._all.ask(self._user, step, method, path, **body)

    def _goes_on(self, ratio: float) -> bool:
        return self._random.random() < ratio

    async def shop(self) -> None:
        """Look around, and perhaps buy something."""
        visit = await self._ask("browse", "GET", "/")
        if visit.body is None:
            return
        for _ in range(self._random.randint(0, 2)):
            await self._think(LOOK_SECONDS)
            await self._ask("product", "GET", f"/products/{self._random.randint(1, 500)}")
        if not self._goes_on(CART_RATIO):
            return
        await self._think(LOOK_SECONDS)
        cart = await self._ask("cart", "POST", "/carts", visit_id=visit.number("visit_id"))
        if cart.body is not None and self._goes_on(CHECKOUT_RATIO):
            await self._think(CART_SECONDS)
            await self._buy(cart.number("cart_id"))

    async def _buy(self, cart_id: int) -> None:
        checkout = await self._ask("checkout", "POST", "/checkout", cart_id=cart_id)
        if checkout.body is None:
            return
        if checkout.body["checkout"] == EXPRESS:
            self._all.remember(self._user, checkout.version, EXPRESS, 200, failed=False)
        if not self._goes_on(PAY_RATIO):
            return
        if not checkout.body["payable"]:
            self._all.remember(self._user, checkout.version, "till", 200, failed=True)
            return
        await self._think(CHECKOUT_SECONDS)
        cents = max(100, round(self._random.lognormvariate(math.log(4500), 0.6)))
        started = await self._ask("pay", "POST", "/payments", cart_id=cart_id, amount_cents=cents)
        if started.body is not None:
            await self._wait_for_order(started)

    async def _wait_for_order(self, started: Answer) -> None:
        payment = await self._all.settlement(self._user, started.number("payment_id"))
        paid = payment is not None and payment["status"] == "succeeded"
        # A payment fails or succeeds where it was begun, whichever version answers the question.
        self._all.remember(self._user, started.version, "settlement", 200, failed=not paid)
        if not paid or not self._goes_on(FEEDBACK_RATIO):
            return
        await self._think(LOOK_SECONDS)
        score = self._random.choices((1, 2, 3, 4, 5), weights=(2, 3, 10, 35, 50))[0]
        order_id = Answer(started.version, payment).number("order_id")
        await self._ask("feedback", "POST", "/feedback", order_id=order_id, score=score)

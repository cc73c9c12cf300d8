"""Routers that ask the receiver for what they are to have in force, instead of being told.

Behind a firewall, or where nobody may reach a router's administration, the router can still open a connection to the
receiver. It asks, says with every question what it has in force, and is answered as soon as something else is wanted.
The receiver's HTTP side hands the questions on; what a router's protocol looks like is known to its driver alone.
What drivers share is that a question stays open until there is something to say (`Wanted`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

from canary.errors import RefusedError
from canary.routers.base import Split

T = TypeVar("T")

# Well within the generated time-outs of 5 s, and seldom enough to cost nothing.
_HELD_SECONDS: Final = 2.0

Leads = Callable[[], Awaitable[bool]]
"""Whether this receiver leads now. One that stands by must tell no router anything that another has superseded."""


@dataclass(frozen=True, slots=True)
class Question:
    """One instance of a router asks.

    Attributes:
        instance: which one, by the name that the policy has for it; empty where its protocol does not tell.
        in_force: what it has in force, in its protocol's words; empty for a process that has just begun. Where the
            protocol does not tell, the JSON that its connection was last answered with.
    """

    instance: str
    in_force: str


@runtime_checkable
class AskingRouter(Protocol):
    """A router's driver whose instances ask."""

    def opened(self) -> None:
        """From now on questions can reach it: an instance that does not ask is away."""
        ...

    async def answer(self, question: Question, leads: Leads) -> Mapping[str, Any] | None:
        """What the instance is to have in force, as JSON; None when nothing has changed for a while.

        Raises:
            RefusedError: this receiver stands by; the instance may ask another one.
            RouterError: the policy does not know the instance.
        """
        ...


class Wanted(Generic[T]):
    """What every instance is to have, and the questions that wait until that is something else than they have.

    **Only who leads answers.** With several receivers an instance asks one after the other. One that stands by refuses
    at once, since what it would say may be superseded, with one exception: while it carries out a rollback, it says so.

    Args:
        name: how the policy calls the router.
        monotonic: seconds that never go backwards.
    """

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        self._place = f"router {name}"
        self._monotonic = monotonic
        self._now: T | None = None
        self._lowering = 0
        self._news = asyncio.Event()

    @contextmanager
    def told(self, wanted: T, split: Split) -> Iterator[None]:
        """Answer whoever asks with *wanted* from now on; what is done inside waits until they have it."""
        lowers = not split.open
        self._lowering += lowers
        try:
            self._now = wanted
            news, self._news = self._news, asyncio.Event()
            news.set()
            yield
        finally:
            self._lowering -= lowers

    async def answer(self, due_in: Callable[[T, float], float | None], leads: Leads) -> T | None:
        """What is wanted, once that is to be said; None when nothing was for a while.

        Args:
            due_in: in how many seconds the instance is to be told what is wanted, given the time; None: it has it.
            leads: whether this receiver leads.

        Raises:
            RefusedError: this receiver stands by.
        """
        until = self._monotonic() + _HELD_SECONDS
        while True:
            # Getting customers off the canary waits for no lead.
            if not self._lowering and not await leads():
                raise RefusedError("this receiver stands by", place=self._place)
            wanted, news, now = self._now, self._news, self._monotonic()
            due_seconds = None if wanted is None else due_in(wanted, now)
            if due_seconds is not None and due_seconds <= 0:
                return wanted
            if now >= until:
                return None
            wait_seconds = until - now if due_seconds is None else min(until - now, due_seconds)
            try:
                async with asyncio.timeout(wait_seconds):
                    await news.wait()
            except TimeoutError:
                continue

"""A router whose driver may be anybody's: whatever it raises is a router that does not follow.

The receiver drives each router by a controller of its own, which knows two outcomes: the router follows, or a
`RouterError` says why not; then it is reported, counted and tried again, while the others are lowered. A driver of
another's hand may raise anything. Were that let through, its controller would end instead of trying again, and a
`canary check` would stop before the routers that come after it. (Ours are held the same way: a mistake of our own is no
better.) A driver that blocks the event loop cannot be held so.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from canary.errors import RefusedError, RouterError
from canary.finding import Finding, failed
from canary.routers.asking import AskingRouter, Leads, Question
from canary.routers.base import Observation, Reading, Router, Split

# `sys.exit` in a driver would end the receiver.
_ANYTHING = (Exception, SystemExit)


class ContainedRouter:
    """Hands everything on to a driver, and turns what it raises into what controllers know.

    Args:
        router: the driver's router.
        name: how the policy calls it.
    """

    def __init__(self, router: Router, name: str) -> None:
        self.name = name
        self.finest_ratio = router.finest_ratio
        self._router = router

    async def set_weight(self, split: Split) -> None:
        """As the driver does it.

        Raises:
            RouterError: the split is not in force, or the driver failed.
        """
        with self._contained():
            await self._router.set_weight(split)

    async def read(self) -> Observation:
        """What the driver reads; unknown when it fails."""
        try:
            with self._contained():
                return _observation(await self._router.read())
        except RouterError as error:
            return Observation((Reading(self.name, None, error=str(error)),))

    async def check(self) -> list[Finding]:
        """What the driver finds; that it fails is a finding."""
        try:
            with self._contained():
                return list(await self._router.check())
        except RouterError as error:
            return [failed(error.place or f"router {self.name}", error.what, error.remedy)]

    async def unhealthy(self) -> Mapping[str, str]:
        """What the driver says against stable servers.

        Raises:
            RouterError: it is unreachable, or failed.
        """
        with self._contained():
            return await self._router.unhealthy()

    async def sessions(self, lasting_seconds: float) -> int | None:
        """What the driver counts.

        Raises:
            RouterError: it is unreachable, or failed.
        """
        with self._contained():
            return await self._router.sessions(lasting_seconds)

    def is_canary(self, user_id: str, split: Split) -> bool:
        """As the driver computes it.

        Raises:
            RouterError: it failed.
        """
        with self._contained():
            return self._router.is_canary(user_id, split)

    def snippet(self) -> Mapping[str, str]:
        """The driver's files.

        Raises:
            RouterError: the policy names something that cannot be written in them, or it failed.
        """
        with self._contained():
            return self._router.snippet()

    @contextmanager
    def _contained(self) -> Iterator[None]:
        with contained(f"router {self.name}"):
            yield


class ContainedAskingRouter(ContainedRouter):
    """As `ContainedRouter`, for a driver whose instances ask.

    Args:
        router: the driver's router, an `AskingRouter` too.
        name: how the policy calls it.
    """

    def __init__(self, router: Any, name: str) -> None:
        super().__init__(router, name)
        self._asked: AskingRouter = router

    def opened(self) -> None:
        """Tell the driver that questions can reach it.

        Raises:
            RouterError: it failed.
        """
        with self._contained():
            self._asked.opened()

    async def answer(self, question: Question, leads: Leads) -> Mapping[str, Any] | None:
        """What the driver answers.

        Raises:
            RefusedError: this receiver stands by.
            RouterError: the policy does not know the instance, or the driver failed.
        """
        with self._contained():
            return await self._asked.answer(question, leads)


@contextmanager
def contained(place: str) -> Iterator[None]:
    """Turns what a driver raises into a RouterError.

    Raises:
        RefusedError: what was asked may not be answered.
        RouterError: anything was raised.
    """
    try:
        yield
    except (RouterError, RefusedError):
        raise
    except _ANYTHING as error:
        what = f"its driver failed ({type(error).__name__}: {error})"
        raise RouterError(what, place=place, remedy="tell those who wrote it") from error


def _observation(found: object) -> Observation:
    if not isinstance(found, Observation):
        raise TypeError(f"expected an Observation, found {type(found).__name__}")
    return found

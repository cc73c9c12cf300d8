"""Several services behind one address: each has its own table of routes and checks, below `/services/NAME`.

aiohttp's router is closed once it serves, and services come and go. So the address has one route for all of them, and
behind it each service has a router of its own, made from its table as the one of a process of its own is. Whoever asks
is checked by that service's roles, tokens and names, and by nobody else's.
"""

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from aiohttp import web

from canary.web.routes.table import Route

BELOW: Final = "services"
"""What stands before a service's name in its paths."""

ANY_METHOD: Final = "*"


class Checks(Protocol):
    """The checks of one service's table."""

    def register(self, router: web.UrlDispatcher) -> None:
        """Add the table's routes."""
        ...

    def route(self, found: web.AbstractRoute) -> Route | None:
        """The route of the table that aiohttp's is made from."""
        ...


Shell = TypeVar("Shell")
Own = TypeVar("Own", bound=Checks)


class Doors(Generic[Shell, Own]):
    """Finds the service, the route and the checks that a request is about.

    Args:
        shell: gives what serves a service now; None when nothing does.
        checks: makes the checks of what serves one.
    """

    def __init__(self, shell: Callable[[str], Shell | None], checks: Callable[[Shell], Own]) -> None:
        self._shell = shell
        self._checks = checks
        self._made: dict[str, tuple[Shell, Own, web.UrlDispatcher]] = {}

    async def find(self, request: web.Request) -> tuple[Own, Route] | None:
        """The checks and the route; None when the request is about no service.

        Raises:
            HTTPException: there is no such service or route.
        """
        name = request.match_info.get("service")
        if name is None:
            return None
        shell = self._shell(name)
        if shell is None:
            self._made.pop(name, None)
            raise web.HTTPNotFound(text=f"no service {name[:100]!a} runs here\n")
        made = self._made.get(name)
        if made is None or made[0] is not shell:
            checks, router = self._checks(shell), web.UrlDispatcher()
            checks.register(router)
            made = self._made[name] = (shell, checks, router)
        _, checks, router = made
        match = await router.resolve(request)
        if match.http_exception is not None:
            raise match.http_exception
        request.match_info.update(match)
        route = checks.route(match.route)
        assert route is not None  # a router holds the routes of its table alone
        return checks, route

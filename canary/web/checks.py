"""The checks that every request passes before a handler sees it: one middleware applies what the table of routes says.

The order is fixed: client certificate and password, wrong tokens of this address, the host name that was asked for,
token or session, origin, query and headers, content type, size, body, the form's key. What is cheap for us and tells a
stranger nothing comes first; a body is read only for a caller who may send one. A handler gets a request that it may
answer, with a body that is what its route says; what it raises becomes an answer here.

This code runs for every question about a feature flag, of which a shop may ask thousands a second. What a route says is
therefore looked up by identity and without copies.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from canary.errors import CanaryError
from canary.web.auth import Users
from canary.web.doors import Doors
from canary.web.place import AT_ROOT, Place
from canary.web.routes.bodies import read_body, read_bytes, validated
from canary.web.routes.table import Access, Call, Forgery, Refusal, Render, Role, Route, Table, as_text, status_of
from canary.web.strangers.attempts import Attempts
from canary.web.strangers.connection import Progress, of_request
from canary.web.strangers.peers import Peers

_UNKNOWN_NAME = "this name is not known to be this service's, and a page of another site could be asking"
_ORIGIN_REMEDY = "behind a proxy that asks by another name, start with --web.external-url=ADDRESS"
_NAME_REMEDY = "ask by address, set a token or users, or start with --web.allowed-host=NAME"


class RequestChecks:
    """Applies one service's table of routes.

    Args:
        access: knows who has a role.
        users: the web configuration's certificates and passwords.
        peers: knows clients' addresses and this service's names.
        most_bytes: limit of bodies for which the route says none.
        place: what stands before the table's paths, and where browsers are.
        doors: the services behind this one's address, which have tables of their own.
    """

    def __init__(
        self,
        table: Table,
        access: Access,
        users: Users,
        peers: Peers,
        attempts: Attempts,
        most_bytes: int,
        place: Place = AT_ROOT,
        *,
        doors: "Doors[Any, RequestChecks] | None" = None,
    ) -> None:
        self._table = table
        self._access = access
        self._users = users
        self._peers = peers
        self._attempts = attempts
        self._most_bytes = most_bytes
        self._place = place
        self._doors = doors
        self._routes: dict[web.AbstractRoute, Route] = {}

    def register(self, router: web.UrlDispatcher) -> None:
        """Add every route of the table to aiohttp's router, and no other.

        Raises:
            ValueError: two routes have the same method and path.
        """
        served: set[tuple[str, str]] = set()
        for route in self._table:
            if (route.method, route.plain_path) in served:
                raise ValueError(f"{route.method} {route.path} stands twice in the table of routes")
            served.add((route.method, route.plain_path))
            resource = router.add_resource(route.path if route.fixed else self._place.prefix + route.path)
            for method in (route.method, hdrs.METH_HEAD) if route.method == hdrs.METH_GET else (route.method,):
                self._routes[resource.add_route(method, self._never_called)] = route

    def route(self, found: web.AbstractRoute) -> Route | None:
        """The table's route from which aiohttp's was made."""
        return self._routes.get(found)

    @staticmethod
    async def _never_called(_request: web.Request) -> web.StreamResponse:
        raise AssertionError("the middleware calls the route's handler itself, with what it has read")

    @property
    def middleware(self) -> Callable[[web.Request, Handler], object]:
        """Answers every request, by its route or by refusing it."""

        @web.middleware
        async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
            route, checks = self._routes.get(request.match_info.route), self
            connection = of_request(request)
            connection.began()
            try:
                if self._doors is not None and (found := await self._behind(self._doors, request)) is not None:
                    checks, route = found
                address = checks.address(request)
                await self._users.admit(request, address, password=checks.asks_password(route, request))
                return await handler(request) if route is None else await checks.answer(route, request, connection)
            except CanaryError as error:
                return _refused(request, route.render if route else as_text, error)
            finally:
                connection.answered()

        return checked

    async def _behind(
        self, doors: "Doors[Any, RequestChecks]", request: web.Request
    ) -> "tuple[RequestChecks, Route] | None":
        """The service's checks and route; that there is none is told to those only who may ask at all."""
        try:
            return await doors.find(request)
        except web.HTTPException:
            await self._users.admit(request, self.address(request), password=True)
            raise

    async def answer(self, route: Route, request: web.Request, connection: Progress) -> web.StreamResponse:
        """What a route of the table answers to a caller whom it may answer.

        Raises:
            CanaryError: it is refused.
        """
        address = self.address(request)
        if route.attempts and self._attempts.too_many(address):
            raise Refusal(
                HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens from your address", remedy="wait a minute"
            )
        if not route.any_host and self._answers_strangers(route) and not self._peers.knows(request.host):
            raise Refusal(HTTPStatus.FORBIDDEN, _UNKNOWN_NAME, remedy=_NAME_REMEDY)
        if (refusal := self._access.refusal(route, request)) is not None:
            raise refusal
        if route.forgery is not Forgery.TYPE and not same_origin(request, self._place.origin):
            raise Refusal(HTTPStatus.FORBIDDEN, "this form came from another site", remedy=_ORIGIN_REMEDY)
        call = await self._read(route, request, address)
        connection.complete()
        response = await route.handler(call)
        if route.attempts and response.status == HTTPStatus.UNAUTHORIZED:
            self._attempts.failed(address)
        return response

    def address(self, request: web.Request) -> str:
        """The client's, behind trusted proxies too."""
        return self._peers.address(request)

    def asks_password(self, route: Route | None, request: web.Request) -> bool:
        """A token stands for a password: the command line, which has one, reads before it gives a command."""
        if route is None:
            return True
        return not (route.role.bearer or (route.role is Role.READER and self._access.reads(request)))

    def _answers_strangers(self, route: Route) -> bool:
        return (route.role.bearer or not self._users.needed) and self._access.open(route)

    async def _read(self, route: Route, request: web.Request, address: str) -> Call:
        query = validated(route.query, dict(request.query)) if route.query is not None else None
        headers = validated(route.headers, _headers(route, request)) if route.headers is not None else None
        if not route.takes_body:
            return Call(request, None, query, headers, address)
        # aiohttp takes a type apart with the parser of e-mails; asking for a flag, which takes any, does without.
        if route.types and request.content_type not in route.types:
            expected, found = " or ".join(route.types), request.content_type[:100]
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected Content-Type {expected}, found {found!a}")
        data = await read_bytes(request, route.most_bytes or self._most_bytes)
        body = read_body(route, data)
        if route.forgery is Forgery.FORM_KEY and not self._access.wrote(request, body.form_key):
            raise Refusal(HTTPStatus.FORBIDDEN, "this form was not made for you", remedy="go back and try again")
        return Call(request, body, query, headers, address)


def _headers(route: Route, request: web.Request) -> dict[str, str]:
    assert route.headers is not None
    named = {name: name.replace("_", "-") for name in route.headers.model_fields}
    return {name: request.headers[header] for name, header in named.items() if header in request.headers}


def _refused(request: web.Request, render: Render, error: CanaryError) -> web.Response:
    response = render(request, status_of(error), error)
    if isinstance(error, Refusal):
        response.headers.update(error.headers)
    if request.content.exception() is not None:
        response.force_close()  # what is left of a body that cannot be unpacked is no next request
    return response


def same_origin(request: web.Request, outside: str = "") -> bool:
    """Whether a form was sent from this service's page: browsers say so, and another site cannot lie.

    Args:
        outside: host and port by which browsers reach the service, when a proxy asks it by another name.
    """
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    return origin is None or origin.partition("://")[2] in {request.host, outside or request.host}

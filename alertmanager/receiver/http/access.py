"""Who has a role at the receiver: bearer tokens, and sessions of the page that an operator's token opened."""

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from alertmanager.receiver.http.authority import Authority, local_name
from alertmanager.receiver.http.page.sessions import Sessions
from canary.web.auth import prove
from canary.web.routes.table import Refusal, Role, Route


class ReceiverAccess:
    """Tells the checks of requests who has a role.

    Args:
        authority: gives the tokens that are valid now; a reload replaces them.
    """

    def __init__(self, authority: Callable[[], Authority], sessions: Sessions) -> None:
        self._authority = authority
        self._sessions = sessions

    def refusal(self, route: Route, request: web.Request) -> Refusal | None:
        """Why the request may not call the route; None when it may."""
        authority = self._authority()
        if route.own_name is not None and authority.open(route.own_name) and not local_name(request.host):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                f"without a token of the {route.own_name.value}, ask by this machine's own address",
            )
        if route.role.bearer and not authority.allows(route.role, request.headers.get("Authorization")):
            return Refusal(
                HTTPStatus.UNAUTHORIZED,
                f"a bearer token of the {route.role.value} is needed",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if route.role is Role.PERSON and not self._signed_in(route, request):
            # What asks for a person is a page next to the one where people sign in, below whatever prefix.
            after = f"/page/{request.path.rpartition('/')[2]}"
            # A form that was sent when the session was over has done nothing, which must not look as if it had.
            unsent = "&unsent=1" if request.method == "POST" else ""
            where = f"sign-in?after={after}{unsent}"
            return Refusal(HTTPStatus.SEE_OTHER, "sign in first", headers={"Location": where})
        if name := authority.name_of(self._shown(route, request)):
            prove(request, name)
        return None

    def _shown(self, route: Route, request: web.Request) -> str | None:
        """The operator's token that a request or its session has shown."""
        if route.role is Role.OPERATOR:
            return request.headers.get("Authorization")
        session = self._sessions.of(request) if route.role is Role.PERSON else None
        return session.authorization if session is not None else None

    def open(self, route: Route) -> bool:
        """Whether whoever reaches the port may call the route: nobody has given its role, or operators, a token."""
        return self._authority().open(route.role if route.role.bearer else Role.OPERATOR)

    def reads(self, request: web.Request) -> bool:
        """Whether a request shows an operator's token."""
        authority, shown = self._authority(), request.headers.get("Authorization")
        return not authority.open(Role.OPERATOR) and authority.allows(Role.OPERATOR, shown)

    def wrote(self, request: web.Request, form_key: str) -> bool:
        """Whether a form was made for the request's session."""
        session = self._sessions.of(request)
        return session is not None and session.wrote(form_key)

    def _signed_in(self, route: Route, request: web.Request) -> bool:
        if self._sessions.of(request) is not None:
            return True
        # Whoever is at this machine needs no token; the form that is shown begins a session for its key.
        return route.method == "GET" and self._authority().open(Role.OPERATOR)

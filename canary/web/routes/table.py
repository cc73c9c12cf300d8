"""One table of routes per service: what is not in it does not exist.

Each route says who may call it, what it takes and what it answers; `canary.web.checks` applies that to every request
before the handler sees it, and `openapi` writes the API's description from it. Checks that each handler made
for itself were tried before: a new handler forgot some of them, and the lists of paths that other parts kept (which
authenticate by themselves, which are documented) went out of step with what was served.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web
from pydantic import BaseModel

from canary.errors import CanaryError, PayloadError, RefusedError, UnseenError

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class Role(StrEnum):
    """Who may call a route."""

    READER = "reader"
    """Whoever the web configuration lets in: by client certificate, or by name and password."""
    WEBHOOK = "webhook"
    """Alertmanager, by a bearer token."""
    OPERATOR = "operator"
    """People and the command line, by a bearer token."""
    FLAGS = "flags"
    """Applications that ask for feature flags, by a bearer token."""
    ROUTER = "router"
    """Routers that ask what they are to have in force, by a bearer token."""
    PERSON = "person"
    """An operator in a browser, by a session that the operator's token opened."""

    @property
    def bearer(self) -> bool:
        """Whether a bearer token lets in. `Authorization` holds one credential, so no password is asked for then."""
        return self in _BEARERS


_BEARERS = frozenset({Role.WEBHOOK, Role.OPERATOR, Role.FLAGS, Role.ROUTER})


class Forgery(StrEnum):
    """What keeps another site from sending a request in a visitor's name."""

    TYPE = "type"
    """The content type is one that browsers do not send across sites without asking, or nothing is changed."""
    ORIGIN = "origin"
    """The browser says that the form comes from here."""
    FORM_KEY = "form_key"
    """As ORIGIN, and the form holds its session's own key."""


class Refusal(CanaryError):  # noqa: N818  # an answer rather than a fault of ours
    """A request that is answered with an error status.

    Args:
        headers: for the answer.
    """

    def __init__(
        self, status: int, what: str, *, place: str = "", remedy: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, place=place, remedy=remedy)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(slots=True)  # frozen would cost a microsecond at every question about a flag
class Call:
    """A request that has passed the checks.

    Attributes:
        body: an instance of the route's body model, or what its `read` made of the bytes; None when it takes none.
        query: an instance of the route's query model.
        headers: an instance of the route's model of headers.
        address: the client's, behind trusted proxies too.
    """

    request: web.Request
    body: Any = None
    query: Any = None
    headers: Any = None
    address: str = ""


Handler = Callable[[Call], Awaitable[web.StreamResponse]]

Render = Callable[[web.Request, int, CanaryError], web.Response]
"""How a refusal looks where the route is: JSON for programs, a page for people."""


@dataclass(frozen=True)
class Answer:
    """One status that a route answers with, for the API's description.

    Attributes:
        schema: the type of the JSON; None when there is no JSON to describe.
    """

    description: str
    schema: Any = None


def as_json(_request: web.Request, status: int, error: CanaryError) -> web.Response:
    """A refusal as programs read it."""
    return web.json_response({"error": str(error)}, status=status)


def as_text(_request: web.Request, status: int, error: CanaryError) -> web.Response:
    """A refusal as an administrator reads it."""
    return web.Response(text=f"{error}\n", status=status)


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one path.

    Attributes:
        path: `{name}` and `{name:REGEX}` stand for a part; a part that does not match is not found.
        body: what the request's body must be; None ignores it.
        read: makes the handler's body of the bytes, where a model alone cannot; raises PayloadError.
        types: content types that are taken; none means any.
        most_bytes: a larger body, unpacked, is refused; None takes the service's limit.
        query: model of the query string; its keys are written as there.
        headers: model of the headers that are read; keys are lower-case names with `_` for `-`.
        forgery: what keeps other sites out.
        attempts: whether answers of 401 are counted, and too many of one address refuse it for a while.
        own_name: whose openness limits the route to this machine's own names: while that role needs no token, the
            service listens on this machine only, and a page of another site whose name is made to lead here could
            still ask in a visitor's browser; it cannot choose the name that it is asked by.
        any_host: whether it is answered under any host name even while nobody needs a token; for what tells nothing.
        fixed: whether the path stays what it is whatever `--web.external-url` puts before the others: clients of a
            protocol cannot be told to ask elsewhere.
        render: how refusals look.
        operation: its id in the API's description; empty keeps it out of there.
        answers: what it answers besides what every route with its role and body does.
    """

    method: str
    path: str
    handler: Handler
    role: Role = Role.READER
    body: type[BaseModel] | None = None
    read: Callable[[bytes], Any] | None = None
    types: tuple[str, ...] = ()
    most_bytes: int | None = None
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    forgery: Forgery = Forgery.TYPE
    attempts: bool = False
    own_name: Role | None = None
    any_host: bool = False
    fixed: bool = False
    render: Render = as_text
    operation: str = ""
    summary: str = ""
    description: str = ""
    answers: Mapping[int, Answer] = field(default_factory=dict)

    @cached_property
    def takes_body(self) -> bool:
        """Whether the body is read."""
        return self.body is not None or self.read is not None

    @property
    def plain_path(self) -> str:
        """The path with `{name}` for every part."""
        return re.sub(r"\{(\w+):[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", r"{\1}", self.path)

    @property
    def parts(self) -> Mapping[str, str]:
        """The path's parts by name, with the expression each must match; empty for any text."""
        return dict(re.findall(r"\{(\w+):?((?:[^{}]|\{[^{}]*\})*)\}", self.path))


Table = Sequence[Route]


class Access(Protocol):
    """Knows who has a role."""

    def refusal(self, route: Route, request: web.Request) -> Refusal | None:
        """Why the request may not call the route; None when it may."""
        ...

    def open(self, route: Route) -> bool:
        """Whether whoever reaches the port may call the route."""
        ...

    def reads(self, request: web.Request) -> bool:
        """Whether a request shows a token that lets it read without a password too."""
        ...

    def wrote(self, request: web.Request, form_key: str) -> bool:
        """Whether a form was made for the request's session."""
        ...


class ReadersOnly:
    """The access of a service that has no tokens: it serves readers and nobody else."""

    def refusal(self, route: Route, _request: web.Request) -> Refusal | None:
        """Refuse every route that is not for readers."""
        return None if route.role is Role.READER else Refusal(HTTPStatus.FORBIDDEN, "nobody has this role here")

    def open(self, _route: Route) -> bool:
        """Whoever is let in reads."""
        return True

    def reads(self, _request: web.Request) -> bool:
        """There are no tokens."""
        return False

    def wrote(self, _request: web.Request, _form_key: str) -> bool:
        """There are no sessions."""
        return False


def status_of(error: CanaryError) -> int:
    """The HTTP status of an error that a handler raises."""
    match error:
        case Refusal():
            return error.status
        case PayloadError():
            return HTTPStatus.BAD_REQUEST
        case UnseenError():
            return HTTPStatus.PRECONDITION_REQUIRED
        case RefusedError():
            return HTTPStatus.CONFLICT
        case _:
            return HTTPStatus.SERVICE_UNAVAILABLE

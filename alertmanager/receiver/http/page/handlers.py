"""The page's HTTP side; `canary.web.checks` has seen token, session, origin and form before anything here runs."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from importlib.resources import files
from typing import Protocol

from aiohttp import web

from alertmanager.receiver import answers
from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.http.authority import Authority
from alertmanager.receiver.http.page import forms
from alertmanager.receiver.http.page.render import LABELS, fingerprint, home, offered, sections, sentence
from alertmanager.receiver.http.page.sessions import COOKIE, Session, Sessions
from alertmanager.receiver.http.page.view import Viewer
from alertmanager.receiver.wakeup import WakeUp
from canary.clock import Clock
from canary.errors import CanaryError
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry
from canary.web.auth import proven_name
from canary.web.routes import Call, Refusal, Role
from canary.web.strangers.connection import network

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

# Each open page holds a connection for as long as it is open. One browser has a handful of tabs, one office a hundred
# people who only look, and all pages together leave room among the service's connections for those who act.
_STREAMS_PER_SESSION = 10
_STREAMS_PER_ADDRESS = 100
_STREAMS = 300
_LOOK_SECONDS = 1.0

# Who takes no event for this long has stopped reading, and only holds a connection.
_TAKE_SECONDS = 10.0

Submit = Callable[[Request], Awaitable[Entry]]


class Told(Protocol):
    """Where journal entries are heard."""

    def listen(self, listener: Callable[[Entry], None]) -> None:
        """Call *listener* with every entry from now on."""
        ...


class Page:
    """The page of one receiver.

    Args:
        ratios: gives the KPIs that are shown as percentages.
        submit: carries out a command.
        authority: knows the operator's token.

    Attributes:
        sessions: who is signed in.
        verbs: the commands that have a form.
    """

    def __init__(
        self,
        viewer: Viewer,
        ratios: Callable[[], Collection[str]],
        submit: Submit,
        authority: Callable[[], Authority],
        told: Told,
        clock: Clock,
    ) -> None:
        self.sessions = Sessions(clock, lambda header: authority().allows(Role.OPERATOR, header))
        self.verbs = tuple(LABELS)
        self.style = _asset("style.css", "text/css")
        self.script = _asset("live.js", "text/javascript")
        self._viewer = viewer
        self._ratios = ratios
        self._submit = submit
        self._authority = authority
        self._clock = clock
        self._wake_ups: dict[WakeUp, str] = {}  # with whose it is
        self._closing = False
        told.listen(lambda _: self._wake())

    async def close(self) -> None:
        """End all live connections."""
        self._closing = True
        self._wake()

    async def home(self, call: Call) -> web.Response:
        """Everything, complete without scripts."""
        return _page(home(await self._viewer.view(), self._ratios(), self.sessions.of(call.request)))

    async def live(self, call: Call) -> web.StreamResponse:
        """The parts that change, as server-sent events."""
        viewer = self._room_for(call)
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        wake_up = WakeUp(self._clock)
        self._wake_ups[wake_up] = viewer
        sent: dict[str, str] = {}
        try:
            await response.prepare(call.request)
            while not self._closing:
                changes = await self._changes(sent)
                async with asyncio.timeout(_TAKE_SECONDS):
                    await response.write(changes)
                await wake_up.wait(_LOOK_SECONDS)
        except (ConnectionError, TimeoutError):
            return response  # the browser has gone
        finally:
            del self._wake_ups[wake_up]
        return response

    def _room_for(self, call: Call) -> str:
        """Whose another live connection is.

        Raises:
            Refusal: the session, the address or all together have as many as they may.
        """
        session = self.sessions.of(call.request)
        viewer = f"session {session.id}" if session else f"address {network(call.address)}"
        most = _STREAMS_PER_SESSION if session else _STREAMS_PER_ADDRESS
        if list(self._wake_ups.values()).count(viewer) >= most:
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, f"{most} pages are open already; close one")
        if len(self._wake_ups) >= _STREAMS:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open")
        return viewer

    async def _changes(self, sent: dict[str, str]) -> bytes:
        """The parts that differ from what has been sent, as one event; a comment keeps the connection alive."""
        try:
            view = await self._viewer.view()
        except CanaryError as error:
            return f"event: fault\ndata: {json.dumps(str(error))}\n\n".encode()
        parts = {**sections(view, self._ratios()), "announcement": sentence(view)}
        changed = {name: part for name, part in parts.items() if sent.get(name) != fingerprint(part)}
        sent.update({name: fingerprint(part) for name, part in changed.items()})
        return f"data: {json.dumps(changed)}\n\n".encode() if changed else b": still here\n\n"

    async def ask_token(self, call: Call) -> web.Response:
        """The form that asks for the operator's token."""
        return _page(forms.sign_in(self._after(call.query.after)))

    async def sign_in(self, call: Call) -> web.StreamResponse:
        """Open a session for an operator's token."""
        after, name, authorization = self._after(call.body.after), call.body.name, f"Bearer {call.body.token}"
        if not name or not self._authority().allows(Role.OPERATOR, authorization):
            text = forms.sign_in(after, "A name is needed, and the operator's token.")
            return _page(text, HTTPStatus.UNAUTHORIZED)
        response = _see(after)
        name = self._authority().name_of(authorization) or name
        _welcome(call.request, response, self.sessions.begin(name, authorization))
        return response

    async def sign_out(self, call: Call) -> web.StreamResponse:
        """End the session."""
        session = self.sessions.of(call.request)
        if session is not None and session.wrote(call.body.form_key):
            self.sessions.end(session)
        response = _see("/")
        response.del_cookie(COOKIE, path="/")
        return response

    async def ask(self, verb: Verb, call: Call) -> web.StreamResponse:
        """The form that confirms a command."""
        status = (await self._viewer.view()).status
        session = self.sessions.of(call.request)
        if session is not None:
            return self._form(verb, status, session)
        session = self.sessions.begin("page")  # only where no token is needed does anybody get here without one
        response = self._form(verb, status, session)
        _welcome(call.request, response, session)
        return response

    async def act(self, verb: Verb, call: Call) -> web.StreamResponse:
        """Carry out a confirmed command about what the person saw."""
        session, body = self.sessions.of(call.request), call.body
        assert session is not None  # the checks have compared its form key
        fault, code = "A reason is needed.", HTTPStatus.BAD_REQUEST
        if verb is not Verb.ROLLBACK or body.reason:
            request = Request(
                verb,
                actor=f"{proven_name(call.request) or session.name} (page)",
                approver=proven_name(call.request),
                reason=body.reason,
                force=body.force == "yes",
                now=body.how == "now",
                back=body.how == "back",
                seen=Seen.read(body.seen),
            )
            try:
                await self._submit(request)
            except CanaryError as error:
                fault, code = str(error), HTTPStatus.CONFLICT
            else:
                return _see("/")
        return self._form(verb, (await self._viewer.view()).status, session, fault, code)

    def _form(
        self, verb: Verb, status: answers.Status, session: Session, fault: str = "", code: int = HTTPStatus.OK
    ) -> web.Response:
        """The form, about the rollout as it is now; a message where its state does not accept the command."""
        rollout = status["rollout"]
        if rollout is not None and verb in offered(status):
            return _page(forms.confirm(verb, rollout, session, fault), code)
        state = f"rollout {rollout['id']} is {rollout['state'].replace('_', ' ')}" if rollout else "there is no rollout"
        return _page(forms.message("Refused", fault or f"{LABELS[verb]} does not fit: {state}."), HTTPStatus.CONFLICT)

    def _after(self, path: str) -> str:
        """Where to go after signing in: a page of ours, never another site."""
        return path if path in {f"/page/{verb.value}" for verb in self.verbs} else "/"

    def _wake(self) -> None:
        for wake_up in self._wake_ups:
            wake_up.set()


def as_page(_request: web.Request, status: int, error: CanaryError) -> web.Response:
    """A refusal as people read it."""
    return _page(forms.message("Refused", f"{str(error)[:1].upper()}{str(error)[1:]}."), status)


def _welcome(request: web.Request, response: web.StreamResponse, session: Session) -> None:
    secure = request.scheme == "https"
    response.set_cookie(COOKIE, session.id, path="/", httponly=True, samesite="Strict", secure=secure)


def _asset(name: str, kind: str) -> Callable[[Call], Awaitable[web.Response]]:
    text = files("alertmanager.receiver.http.page").joinpath(name).read_text(encoding="utf-8")

    async def serve(_call: Call) -> web.Response:
        return web.Response(text=text, content_type=kind, headers=_HEADERS)

    return serve


def _page(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status, headers=_HEADERS)


def _see(path: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={**_HEADERS, "Location": path})

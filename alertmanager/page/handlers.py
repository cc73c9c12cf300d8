"""The page's HTTP side."""

import json
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import parse_qs

from aiohttp import web

from alertmanager.authority import Authority, Role, local_name
from alertmanager.bell import Bell
from alertmanager.commands import Request
from alertmanager.page import forms
from alertmanager.page.render import LABELS, fingerprint, home, sections, sentence
from alertmanager.page.sessions import COOKIE, Session, Sessions, same_origin
from alertmanager.page.view import Viewer
from canary.clock import Clock
from canary.commands import Seen
from canary.entries import Entry
from canary.errors import CanaryError

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
_STRANGE = forms.message("Refused", "Open this page by this machine's own address.")
_STREAMS = 100
_LOOK_SECONDS = 1.0
_FORM_BYTES = 16 * 1024

Submit = Callable[[Request], Awaitable[Entry]]


class Told(Protocol):
    """Where journal entries are heard."""

    def listen(self, listener: Callable[[Entry], None]) -> None:
        """Call *listener* with every entry from now on."""
        ...


class Page:
    """The page of one receiver.

    Args:
        ratios: KPIs that are shown as percentages.
        submit: carries out an order.
        authority: knows the operator's token.
    """

    def __init__(
        self,
        viewer: Viewer,
        ratios: Collection[str],
        submit: Submit,
        authority: Callable[[], Authority],
        told: Told,
        clock: Clock,
    ) -> None:
        self._viewer = viewer
        self._ratios = ratios
        self._submit = submit
        self._authority = authority
        self._clock = clock
        self._sessions = Sessions(clock)
        self._bells: set[Bell] = set()
        self._closing = False
        told.listen(lambda _: self._ring())

    def routes(self) -> list[web.RouteDef]:
        """Everything below `/page/`, and `/` itself."""
        return [
            web.get("/", self._home),
            web.get("/page/style.css", _asset("style.css", "text/css")),
            web.get("/page/live.js", _asset("live.js", "text/javascript")),
            web.get("/page/live", self._live),
            web.get("/page/sign-in", self._ask_token),
            web.post("/page/sign-in", self._sign_in),
            web.post("/page/sign-out", self._sign_out),
            *(web.get(f"/page/{verb}", self._ask) for verb in LABELS),
            *(web.post(f"/page/{verb}", self._act) for verb in LABELS),
        ]

    async def close(self) -> None:
        """End all live connections."""
        self._closing = True
        self._ring()

    async def _home(self, request: web.Request) -> web.Response:
        return _page(home(await self._viewer.view(), self._ratios, self._sessions.of(request)))

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if len(self._bells) >= _STREAMS:
            raise web.HTTPServiceUnavailable(text="too many pages are open\n")
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        bell = Bell(self._clock)
        self._bells.add(bell)
        sent: dict[str, str] = {}
        try:
            await response.prepare(request)
            while not self._closing:
                await response.write(await self._changes(sent))
                await bell.wait(_LOOK_SECONDS)
        except ConnectionError:
            return response  # the browser has gone
        finally:
            self._bells.discard(bell)
        return response

    async def _changes(self, sent: dict[str, str]) -> bytes:
        """The parts that differ from what has been sent, as one event; a comment keeps the connection alive."""
        try:
            view = await self._viewer.view()
        except CanaryError as error:
            return f"event: fault\ndata: {json.dumps(str(error))}\n\n".encode()
        parts = {**sections(view, self._ratios), "announcement": sentence(view)}
        changed = {name: part for name, part in parts.items() if sent.get(name) != fingerprint(part)}
        sent.update({name: fingerprint(part) for name, part in changed.items()})
        return f"data: {json.dumps(changed)}\n\n".encode() if changed else b": still here\n\n"

    async def _ask_token(self, request: web.Request) -> web.Response:
        return _page(forms.sign_in(_after(request.query.get("after", ""))))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        form = await _form(request)
        after, name = _after(form.get("after", "")), form.get("name", "").strip()[:100]
        if self._strange(request):
            return _page(_STRANGE, 403)
        if not same_origin(request):
            return _page(forms.message("Refused", "This form came from another site."), 403)
        if self._sessions.closed():
            return _page(forms.sign_in(after, "Too many wrong tokens; wait a minute."), 429)
        if not name or not self._authority().allows(Role.OPERATOR, f"Bearer {form.get('token', '').strip()}"):
            self._sessions.failed()
            return _page(forms.sign_in(after, "A name is needed, and the operator's token."), 401)
        response = _see(after)
        self._welcome(request, response, self._sessions.begin(name))
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        session, form = self._sessions.of(request), await _form(request)
        if session is not None and same_origin(request) and session.wrote(form.get("form_key", "")):
            self._sessions.end(session)
        response = _see("/")
        response.del_cookie(COOKIE, path="/")
        return response

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        verb = request.path.rsplit("/", 1)[1]
        session = self._sessions.of(request)
        fresh = None
        if self._strange(request):
            return _page(_STRANGE, 403)
        if session is None and self._open():
            session = fresh = self._sessions.begin("page")
        if session is None:
            return _see(f"/page/sign-in?after=/page/{verb}")
        rollout = (await self._viewer.view()).status["rollout"]
        if rollout is None:
            return _page(forms.message("Nothing to do", "No rollout has been started."), 409)
        response = _page(forms.confirm(verb, rollout, session))
        if fresh is not None:
            self._welcome(request, response, fresh)
        return response

    async def _act(self, request: web.Request) -> web.StreamResponse:
        verb = request.path.rsplit("/", 1)[1]
        session, form = self._sessions.of(request), await _form(request)
        if session is None:
            return _see(f"/page/sign-in?after=/page/{verb}")
        if self._strange(request):
            return _page(_STRANGE, 403)
        if not same_origin(request) or not session.wrote(form.get("form_key", "")):
            return _page(forms.message("Refused", "This form was not made for you; go back and try again."), 403)
        rollout = (await self._viewer.view()).status["rollout"]
        if rollout is None or form.get("seen") != forms.seen(rollout):
            return _page(forms.message("Changed meanwhile", "The rollout is no longer as you saw it; look again."), 409)
        reason = form.get("reason", "").strip()[:1000]
        if verb == "rollback" and not reason:
            return _page(forms.confirm(verb, rollout, session, "A reason is needed."), 400)
        order = Request(
            verb, actor=f"{session.name} (page)", reason=reason, canary="", stable="",
            force=form.get("force") == "yes", seen=Seen.read(rollout["seen"]),
        )  # fmt: skip
        try:
            await self._submit(order)
        except CanaryError as error:
            return _page(forms.confirm(verb, rollout, session, str(error)), 409)
        return _see("/")

    def _strange(self, request: web.Request) -> bool:
        """Whether a stranger's name leads here while no token is needed.

        Without a token the receiver listens on this machine only, and whoever is here may give orders; a page of
        another site whose name is made to lead to this machine is not here.
        """
        return self._open() and not local_name(request.host)

    def _open(self) -> bool:
        return self._authority().allows(Role.OPERATOR, None)

    def _welcome(self, request: web.Request, response: web.StreamResponse, session: Session) -> None:
        response.set_cookie(
            COOKIE, session.id, path="/", httponly=True, samesite="Strict", secure=request.scheme == "https"
        )

    def _ring(self) -> None:
        for bell in self._bells:
            bell.ring()


def _asset(name: str, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    text = files("alertmanager.page").joinpath(name).read_text(encoding="utf-8")

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, headers=_HEADERS)

    return serve


async def _form(request: web.Request) -> dict[str, str]:
    """A form's fields; of a body that is none, or too long, nothing."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    body: Any = await request.content.read(_FORM_BYTES)
    return {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _after(path: str) -> str:
    """Where to go after signing in: a page of ours, never another site."""
    return path if path in {f"/page/{verb}" for verb in LABELS} else "/"


def _page(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status, headers=_HEADERS)


def _see(path: str) -> web.Response:
    return web.Response(status=303, headers={**_HEADERS, "Location": path})

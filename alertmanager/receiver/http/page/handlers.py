"""The page's HTTP side; `canary.web.checks` has seen token, session, origin and form before anything here runs."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from aiohttp import web

from alertmanager.receiver import answers
from alertmanager.receiver.act.selfchecks import SelfChecks
from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.http.authority import Authority
from alertmanager.receiver.http.page import forms
from alertmanager.receiver.http.page.errands import ERRANDS, Errand, Errands
from alertmanager.receiver.http.page.headers import HEADERS, REPORT_HEADERS
from alertmanager.receiver.http.page.live import Live
from alertmanager.receiver.http.page.lowering import Lowering
from alertmanager.receiver.http.page.parts.actions import offered
from alertmanager.receiver.http.page.parts.state import sentence
from alertmanager.receiver.http.page.parts.words import LABELS, STATES
from alertmanager.receiver.http.page.render import home, sections
from alertmanager.receiver.http.page.sessions import COOKIE, Session, Sessions
from alertmanager.receiver.http.page.view import Viewer
from canary.errors import CanaryError
from canary.report.files import html
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry
from canary.timing.clock import Clock
from canary.timing.zones import in_zone
from canary.web.auth import proven_name
from canary.web.place import AT_ROOT, Place
from canary.web.routes.table import Call, Refusal, Role
from canary.web.strangers.connection import network

Submit = Callable[[Request], Awaitable[Entry]]

_UNSENT = "Your session is over: nothing has been done yet. Sign in, then send it again."


class Told(Protocol):
    """Where journal entries are heard."""

    def listen(self, listener: Callable[[Entry], None]) -> None:
        """Call *listener* with every entry from now on."""
        ...


class Page:
    """The page of one receiver.

    Args:
        viewer: gathers what is shown.
        submit: carries out a command.
        errands: does what else people ask for.
        checks: what `canary check` and `canary plan` have said.
        authority: knows the operator's token.
        reports: the folder of reports.
        lowering: what a link in a message leads to.
        place: where browsers find the page.

    Attributes:
        sessions: who is signed in.
        verbs: the commands that have a form.
    """

    def __init__(
        self,
        viewer: Viewer,
        submit: Submit,
        errands: Errands,
        checks: SelfChecks,
        authority: Callable[[], Authority],
        reports: Callable[[], Path],
        told: Told,
        clock: Clock,
        *,
        lowering: Lowering,
        place: Place = AT_ROOT,
    ) -> None:
        self.sessions = Sessions(clock, lambda header: authority().allows(Role.OPERATOR, header))
        self.verbs = tuple(LABELS)
        self.lowering = lowering
        self.style = _asset("style.css", "text/css")
        self.script = _asset("live.js", "text/javascript")
        self._viewer = viewer
        self._submit = submit
        self._errands = errands
        self._checks = checks
        self._authority = authority
        self._reports = reports
        self._place = place
        self._live = Live(self._parts, clock)
        told.listen(lambda _: self._live.wake())
        checks.listener = self._live.wake

    async def close(self) -> None:
        """End all live connections, and what was asked for on their behalf."""
        self._live.close()
        await self._checks.close()
        await self._viewer.close()

    async def home(self, call: Call) -> web.Response:
        """Everything, complete without scripts."""
        return _page(home(await self._viewer.view(), self._checks, self.sessions.of(call.request)))

    async def live(self, call: Call) -> web.StreamResponse:
        """The parts that change, as server-sent events."""
        session = self.sessions.of(call.request)
        viewer = f"session {session.id}" if session else f"address {network(call.address)}"
        return await self._live.stream(call.request, viewer, signed_in=session is not None)

    async def _parts(self) -> dict[str, str]:
        view = await self._viewer.view()
        return {**sections(view, self._checks), "announcement": in_zone(sentence(view), view.about.zone)}

    async def report(self, call: Call) -> web.Response:
        """The report of a rollout that the journal has."""
        name = call.request.match_info["rollout"]
        nothing = Refusal(HTTPStatus.NOT_FOUND, "there is no report of this rollout")
        if all(one.id != name for one in (await self._viewer.view()).releases):
            raise nothing
        try:
            text = await asyncio.to_thread(html, self._reports(), name)
        except (OSError, ValueError):
            raise nothing from None
        return web.Response(text=text, content_type="text/html", headers=REPORT_HEADERS)

    async def unknown(self, _call: Call) -> web.Response:
        """A page that there is not, as by an address that was typed or kept for too long."""
        raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page")

    async def ask_errand(self, errand: Errand, call: Call) -> web.StreamResponse:
        """The form that asks for something that moves no traffic."""
        session = self.sessions.of(call.request)
        if session is not None:
            return _page(forms.errand(errand, session))
        session = self.sessions.begin("page")  # as in `ask`
        response = _page(forms.errand(errand, session))
        self._welcome(call.request, response, session)
        return response

    async def do_errand(self, errand: Errand, call: Call) -> web.StreamResponse:
        """Do what was asked for."""
        session, text = self.sessions.of(call.request), call.body.reason
        assert session is not None  # the checks have compared its form key
        if errand.asks and not text:
            return _page(forms.errand(errand, session, "A text is needed."), HTTPStatus.BAD_REQUEST)
        try:
            await self._errands.do(errand, text, _actor(call, session))
        except CanaryError as error:
            return _page(forms.errand(errand, session, str(error)), HTTPStatus.CONFLICT)
        return _see("/#proofs" if not errand.asks else "/")

    async def ask_token(self, call: Call) -> web.Response:
        """The form that asks for the operator's token."""
        fault = _UNSENT if call.query.unsent else ""
        return _page(forms.sign_in(self._after(call.query.after), fault))

    async def sign_in(self, call: Call) -> web.StreamResponse:
        """Open a session for an operator's token."""
        after, name, authorization = self._after(call.body.after), call.body.name, f"Bearer {call.body.token}"
        if not name or not self._authority().allows(Role.OPERATOR, authorization):
            text = forms.sign_in(after, "A name is needed, and the operator's token.")
            return _page(text, HTTPStatus.UNAUTHORIZED)
        response = _see(after)
        name = self._authority().name_of(authorization) or name
        self._welcome(call.request, response, self.sessions.begin(name, authorization))
        return response

    async def sign_out(self, call: Call) -> web.StreamResponse:
        """End the session."""
        session = self.sessions.of(call.request)
        if session is not None and session.wrote(call.body.form_key):
            self.sessions.end(session)
        response = _see("/")
        response.del_cookie(COOKIE, path=self._place.root)
        return response

    async def ask(self, verb: Verb, call: Call) -> web.StreamResponse:
        """The form that confirms a command."""
        status = (await self._viewer.view()).status
        session = self.sessions.of(call.request)
        if session is not None:
            return self._form(verb, status, session)
        session = self.sessions.begin("page")  # only where no token is needed does anybody get here without one
        response = self._form(verb, status, session)
        self._welcome(call.request, response, session)
        return response

    async def act(self, verb: Verb, call: Call) -> web.StreamResponse:
        """Carry out a confirmed command about what the person saw."""
        session, body = self.sessions.of(call.request), call.body
        assert session is not None  # the checks have compared its form key
        fault, code = "A reason is needed.", HTTPStatus.BAD_REQUEST
        if verb is not Verb.ROLLBACK or body.reason:
            request = Request(
                verb,
                actor=_actor(call, session),
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
        state = f"rollout {rollout['id']} is {STATES[rollout['state']].lower()}" if rollout else "there is no rollout"
        return _page(forms.message("Refused", fault or f"{LABELS[verb]} does not fit: {state}."), HTTPStatus.CONFLICT)

    def _welcome(self, request: web.Request, response: web.StreamResponse, session: Session) -> None:
        place = self._place
        secure = place.scheme == "https" or request.scheme == "https"
        response.set_cookie(COOKIE, session.id, path=place.root, httponly=True, samesite="Strict", secure=secure)

    def refused(self, request: web.Request, status: int, error: CanaryError) -> web.Response:
        """A refusal as people read it."""
        _, inside, rest = request.path.removeprefix(self._place.prefix).partition("/page/")
        root = "../" * (rest.count("/") + 1) if inside else "./"
        title = "Not found" if status == HTTPStatus.NOT_FOUND else "Refused"
        return _page(forms.message(title, f"{str(error)[:1].upper()}{str(error)[1:]}.", root), status)

    def _after(self, path: str) -> str:
        """Where to go after signing in: a page of ours, never another site."""
        ours = {*(verb.value for verb in self.verbs), *(one.name for one in ERRANDS)}
        return path if path in {f"/page/{name}" for name in ours} else "/"


def _actor(call: Call, session: Session) -> str:
    return f"{proven_name(call.request) or session.name} (page)"


def _asset(name: str, kind: str) -> Callable[[Call], Awaitable[web.Response]]:
    text = files("alertmanager.receiver.http.page").joinpath(name).read_text(encoding="utf-8")

    async def serve(_call: Call) -> web.Response:
        return web.Response(text=text, content_type=kind, headers=HEADERS)

    return serve


def _page(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status, headers=HEADERS)


def _see(path: str) -> web.Response:
    """Go on from a form, all of which are below `/page/`, to another page; by a way that needs no prefix."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={**HEADERS, "Location": f"..{path}"})

"""The page's part of the table of routes: what people look at and click."""

from collections.abc import Callable
from functools import partial

from alertmanager.receiver.http import bodies
from alertmanager.receiver.http.page.errands import ERRANDS
from alertmanager.receiver.http.page.handlers import Page
from canary.web.routes.bodies import Body
from canary.web.routes.table import FORM, Forgery, Handler, Role, Route, Table

# A form has a reason of up to a thousand characters, which may take twelve bytes each when they are sent.
_FORM_BYTES = 16 * 1024

_Make = Callable[..., Route]


def page_table(page: Page) -> Table:
    """What people look at and click."""
    render = page.refused
    read = partial(Route, method="GET", render=render)
    form = partial(
        Route, method="POST", types=(FORM,), most_bytes=_FORM_BYTES, own_name=Role.OPERATOR, render=render
    )  # fmt: skip
    acting = partial(_acting, read, form)
    return (
        read(path="/", handler=page.home),
        read(path="/page/style.css", handler=page.style),
        read(path="/page/live.js", handler=page.script),
        read(path="/page/live", handler=page.live),
        read(path="/page/reports/{rollout}", handler=page.report),
        read(path="/page/sign-in", handler=page.ask_token, query=bodies.SignInQuery),
        form(path="/page/sign-in", handler=page.sign_in, body=bodies.SignIn, forgery=Forgery.ORIGIN, attempts=True),
        form(path="/page/sign-out", handler=page.sign_out, body=bodies.SignOut, forgery=Forgery.ORIGIN),
        read(path="/page/lower/{token}", handler=page.lowering.ask, own_name=Role.OPERATOR),
        form(path="/page/lower/{token}", handler=page.lowering.act, body=bodies.LoweringForm, forgery=Forgery.ORIGIN),
        *(
            route
            for verb in page.verbs
            for route in acting(verb.value, partial(page.ask, verb), partial(page.act, verb), bodies.Confirmation)
        ),
        *(
            route
            for one in ERRANDS
            for route in acting(
                one.name, partial(page.ask_errand, one), partial(page.do_errand, one), bodies.ErrandForm
            )
        ),
        read(path="/page/{rest:.*}", handler=page.unknown),  # the last: what is before it has an answer of its own
    )


def _acting(read: _Make, form: _Make, name: str, ask: Handler, do: Handler, body: type[Body]) -> Table:
    """A form that is asked for, and what sends it: for people who are signed in."""
    path = f"/page/{name}"
    return (
        read(path=path, handler=ask, role=Role.PERSON, own_name=Role.OPERATOR),
        form(path=path, handler=do, role=Role.PERSON, body=body, forgery=Forgery.FORM_KEY),
    )

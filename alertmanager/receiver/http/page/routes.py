"""The page's part of the table of routes: what people look at and click."""

from functools import partial

from alertmanager.receiver.http import bodies
from alertmanager.receiver.http.page.errands import ERRANDS
from alertmanager.receiver.http.page.handlers import Page, as_page
from canary.web.routes import FORM, Forgery, Role, Route, Table

# A form has a reason of up to a thousand characters, which may take twelve bytes each when they are sent.
_FORM_BYTES = 16 * 1024


def page_table(page: Page) -> Table:
    """What people look at and click."""
    read = partial(Route, method="GET", render=as_page)
    form = partial(
        Route,
        method="POST",
        types=(FORM,),
        most_bytes=_FORM_BYTES,
        own_name=Role.OPERATOR,
        render=as_page,
    )
    return (
        read(path="/", handler=page.home),
        read(path="/page/style.css", handler=page.style),
        read(path="/page/live.js", handler=page.script),
        read(path="/page/live", handler=page.live),
        read(path="/page/sign-in", handler=page.ask_token, query=bodies.SignInQuery),
        form(path="/page/sign-in", handler=page.sign_in, body=bodies.SignIn, forgery=Forgery.ORIGIN, attempts=True),
        form(path="/page/sign-out", handler=page.sign_out, body=bodies.SignOut, forgery=Forgery.ORIGIN),
        *(
            read(
                path=f"/page/{verb.value}",
                handler=partial(page.ask, verb),
                role=Role.PERSON,
                own_name=Role.OPERATOR,
            )
            for verb in page.verbs
        ),
        read(path="/page/reports/{rollout}", handler=page.report),
        *(
            read(
                path=f"/page/{one.name}",
                handler=partial(page.ask_errand, one),
                role=Role.PERSON,
                own_name=Role.OPERATOR,
            )
            for one in ERRANDS
        ),
        *(
            form(
                path=f"/page/{one.name}",
                handler=partial(page.do_errand, one),
                role=Role.PERSON,
                body=bodies.ErrandForm,
                forgery=Forgery.FORM_KEY,
            )
            for one in ERRANDS
        ),
        *(
            form(
                path=f"/page/{verb.value}",
                handler=partial(page.act, verb),
                role=Role.PERSON,
                body=bodies.Confirmation,
                forgery=Forgery.FORM_KEY,
            )
            for verb in page.verbs
        ),
    )

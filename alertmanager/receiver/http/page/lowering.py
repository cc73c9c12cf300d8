"""What a link in a message leads to: a form that says what it would do, and the rollback once it is sent."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.http.links import Link, RollbackLinks
from alertmanager.receiver.http.page import forms
from alertmanager.receiver.http.page.headers import HEADERS
from alertmanager.receiver.http.page.parts.words import STATES
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.entries import Entry
from canary.rollout.state import UNFINISHED, Rollout
from canary.rollout.store.store import RolloutStore
from canary.web.routes.table import Call, Refusal

_BACK = "../../"
"""From `/page/lower/TOKEN` to the page."""


class Lowering:
    """The handlers of links that roll back.

    Args:
        submit: carries out a command.
    """

    def __init__(
        self, links: RollbackLinks, store: RolloutStore, submit: Callable[[Request], Awaitable[Entry]]
    ) -> None:
        self._links = links
        self._store = store
        self._submit = submit

    async def ask(self, call: Call) -> web.Response:
        """What the link would do; it does nothing, for scanners of links come here too."""
        _, rollout = self._required(call)
        return _answer(forms.lower(rollout, call.request.match_info["token"], _BACK))

    async def act(self, call: Call) -> web.Response:
        """Roll back, once."""
        link, rollout = self._required(call)
        reason = call.body.reason or f"the link in the message about entry {link.entry} was used"
        await self._submit(
            Request(
                Verb.ROLLBACK,
                actor="link in a message",
                reason=reason,
                seen=Seen(rollout.id),
                key=link.key,
            )
        )
        text = f"{rollout.canary} is being rolled back; all customers go to {rollout.stable}."
        return _answer(forms.message("Rolling back", text, _BACK))

    def _required(self, call: Call) -> tuple[Link, Rollout]:
        """The link, and the rollout that it can still lower.

        Raises:
            Refusal: it is no link of ours, it was used, or its rollout does not run.
        """
        link = self._links.read(call.request.match_info["token"])
        rollout = self._store.rollouts.get(link.rollout)
        now = f"rollout {link.rollout} is {STATES[rollout.state].lower() if rollout else 'not known here'}"
        if self._store.answered(f"{Verb.ROLLBACK}:{link.key}"):
            raise Refusal(HTTPStatus.GONE, f"this link was used already, and works once: {now}")
        if rollout is None or not rollout.running:
            # After the promotion whoever rolls back must know that the stable servers still run the old version.
            newest = self._store.rollout
            possible = newest is not None and newest.id == link.rollout and newest.state in UNFINISHED
            remedy = "sign in at the page to roll back" if possible else ""
            raise Refusal(HTTPStatus.CONFLICT, f"this link is for a running rollout: {now}", remedy=remedy)
        return link, rollout


def _answer(text: str) -> web.Response:
    # The link is the credential, and is told to nobody else: `HEADERS` have browsers name it to this service alone. To
    # have them name it to nobody, by `no-referrer`, makes the form's origin `null`, which is refused as another site's.
    return web.Response(text=text, content_type="text/html", status=HTTPStatus.OK, headers=HEADERS)

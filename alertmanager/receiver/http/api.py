"""The receiver's API: Alertmanager's webhook, commands, where everything stands, drills, experiments.

A command says what its sender saw: the rollout and the number of its newest decision, as `If-Match` or in the body.
Whoever raises the canary's weight must say it, because what they saw may be over by the time the command arrives: two
people who advance at once would skip a phase, and a promotion meant for one rollout would promote the next. Commands
that lower or hold may leave it out, so that nothing stands between a person in a hurry and a safe state.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus

from aiohttp import web

from alertmanager.receiver import answers
from alertmanager.receiver.decide.commands import Request
from alertmanager.receiver.http.backend import Receiver
from alertmanager.receiver.http.bodies import Command, CommandHeaders
from alertmanager.receiver.status import entry_data
from canary.errors import PayloadError, PolicyError, RefusedError
from canary.rollout.commands.seen import Seen
from canary.rollout.commands.verbs import Verb
from canary.rollout.experiments import Trial
from canary.timing.times import to_text
from canary.web.auth import proven_name
from canary.web.routes.table import Call, Refusal

# The body's keys that are a request's own, whichever the verb is.
_KEYS = (
    "actor",
    "reason",
    "canary",
    "stable",
    "force",
    "again",
    "give_up",
    "now",
    "back",
    "weight",
    "rollout",
    "plan",
    "category",
    "to",
    "digest",
)


class Api:
    """The handlers of one receiver.

    Args:
        reread: reads the policy file again, as a reload does.
    """

    def __init__(self, receiver: Receiver, reread: Callable[[], Awaitable[None]]) -> None:
        self._receiver = receiver
        self._reread = reread

    async def webhook(self, call: Call) -> web.Response:
        """Take Alertmanager's notification."""
        if not await self._receiver.notify(call.body):
            # Alertmanager sends again what it could not deliver: until the disk is back, it is the journal.
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "acting, but the journal cannot be written", remedy="send it again"
            )
        return web.json_response(answers.Accepted(status="accepted"), status=HTTPStatus.ACCEPTED)

    async def command(self, verb: str, call: Call) -> web.Response:
        """Carry out a command; the answer is the journal entry that was written."""
        given = call.body.model_dump(include=set(_KEYS))
        seen = _seen(call.headers, call.body)
        given["actor"] = _actor(call)
        request = Request(verb, seen=seen, key=_key(call.headers), approver=proven_name(call.request), **given)
        entry = await self._receiver.submit(request)
        return web.json_response(entry_data(entry))

    async def start(self, call: Call) -> web.Response:
        """Begin a rollout, now or at a moment."""
        if call.body.at is None:
            return await self.command(Verb.START, call)
        given = call.body.model_dump(include=set(_KEYS))
        given["actor"] = _actor(call)
        request = Request(Verb.START, key=_key(call.headers), **given)
        return web.json_response(entry_data(await self._receiver.scheduler.schedule(request, call.body.at)))

    async def unschedule(self, call: Call) -> web.Response:
        """Take back what is scheduled."""
        entry = await self._receiver.scheduler.cancel(
            actor=_actor(call), reason=call.body.reason, key=_key(call.headers)
        )
        return web.json_response(entry_data(entry))

    async def amend(self, call: Call) -> web.Response:
        """Read the policy again, and let the running rollout go by it."""
        try:
            await self._reread()
        except PolicyError as error:
            raise RefusedError(str(error), place="cannot amend") from error
        return await self.command("amend", call)

    async def status(self, _call: Call) -> web.Response:
        """Where everything stands."""
        return web.json_response(await self._receiver.status())

    async def shop_metrics(self, _call: Call) -> web.Response:
        """The strategy's debugging commands."""
        return web.json_response(await self._receiver.shop_metrics())

    async def history(self, call: Call) -> web.Response:
        """The journal, oldest first."""
        entries = await self._receiver.history(call.query.rollout)
        return web.json_response([entry_data(entry) for entry in entries])

    async def note(self, call: Call) -> web.Response:
        """Write down an observation."""
        body = call.body
        entry = await self._receiver.note(
            body.rollout, body.reason, actor=_actor(call), category=body.category, key=_key(call.headers)
        )
        return web.json_response(entry_data(entry))

    async def freeze(self, call: Call) -> web.Response:
        """Begin a change freeze."""
        body = call.body
        entry = await self._receiver.freezes.begin(
            body.until, actor=_actor(call), reason=body.reason, key=_key(call.headers)
        )
        return web.json_response(entry_data(entry))

    async def lift_freeze(self, call: Call) -> web.Response:
        """Lift a change freeze."""
        entry = await self._receiver.freezes.lift(actor=_actor(call), reason=call.body.reason, key=_key(call.headers))
        return web.json_response(entry_data(entry))

    async def start_drill(self, _call: Call) -> web.Response:
        """Let a rule of Prometheus begin a drill."""
        return web.json_response(answers.DrillStarted(id=self._receiver.drills.ask_prometheus()))

    async def drill(self, call: Call) -> web.Response:
        """What became of a drill."""
        drill = self._receiver.drills.report(call.request.match_info["id"])
        if drill is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "no alert of this drill has arrived")
        return web.json_response(drill.as_json())

    async def experiments(self, _call: Call) -> web.Response:
        """Where the experiments stand."""
        return web.json_response([experiment_data(trial) for trial in self._receiver.trials.trials.values()])

    async def stop_experiment(self, call: Call) -> web.Response:
        """Give everybody the control."""
        return await self._experiment("stop", call)

    async def start_experiment(self, call: Call) -> web.Response:
        """Begin a stopped experiment anew."""
        return await self._experiment("start", call)

    async def _experiment(self, verb: str, call: Call) -> web.Response:
        name, trials = call.request.match_info["name"], self._receiver.trials
        change = trials.stop if verb == "stop" else trials.start
        await change(name, actor=_actor(call), reason=call.body.reason)
        return web.json_response(experiment_data(trials.trials[name]))


def _actor(call: Call) -> str:
    """Who gives the command: by the name that was proven, and only without one by the name that the body claims."""
    return proven_name(call.request) or str(call.body.actor)


def _key(headers: CommandHeaders) -> str:
    """The sender's own key for the request."""
    return (headers.idempotency_key or "").strip('"')


def _seen(headers: CommandHeaders, body: Command) -> Seen | None:
    header = headers.if_match.strip('"') if headers.if_match else None
    if header and body.seen and header != body.seen:
        raise PayloadError(f"expected as in If-Match, {header}, found {body.seen}", place="seen")
    text = header or body.seen
    return Seen.read(text) if text else None


def experiment_data(trial: Trial) -> answers.Experiment:
    """An experiment as JSON-ready data."""
    return {
        "name": trial.name,
        "running": trial.running,
        "started_at": to_text(trial.started_at),
        "stopped_at": _moment(trial.stopped_at),
        "weights": dict(trial.weights[-1].of),
        "reason": trial.reason,
        "actor": trial.actor,
    }


def _moment(moment: datetime | None) -> str | None:
    return to_text(moment) if moment else None

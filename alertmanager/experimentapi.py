"""Experiments over HTTP: where they stand, and a person's stop or start."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from alertmanager.api import fault, guarded_by
from alertmanager.authority import Authority, Role
from alertmanager.experiments import Experiments
from alertmanager.webhook import clean
from canary.errors import JournalError, PayloadError, RefusedError
from canary.experiments import Trial
from canary.names import API_PREFIX
from canary.policy.model import Policy
from canary.times import to_text

_PATH = f"{API_PREFIX}/experiments"
_VERBS = ("stop", "start")


def experiment_routes(trials: Experiments, authority: Callable[[], Authority]) -> list[web.RouteDef]:
    """All routes of the experiments."""
    orders: dict[str, Callable[..., Awaitable[None]]] = {"stop": trials.stop, "start": trials.start}
    return [
        web.get(_PATH, partial(_list, trials)),
        *(
            web.post(f"{_PATH}/{{name}}/{verb}", guarded_by(authority, Role.OPERATOR, partial(_order, trials, order)))
            for verb, order in orders.items()
        ),
    ]


def experiment_paths(policy: Policy) -> list[str]:
    """Paths that check bearer tokens themselves, so that basic authentication must leave them alone."""
    return [f"{_PATH}/{name}/{verb}" for name in policy.experiments for verb in _VERBS]


async def _list(trials: Experiments, _request: web.Request) -> web.Response:
    return web.json_response([trial_data(trial) for trial in trials.trials.values()])


async def _order(trials: Experiments, order: Callable[..., Awaitable[None]], request: web.Request) -> web.Response:
    if request.content_type != "application/json":
        return fault(415, f"expected Content-Type application/json, found {request.content_type}")
    name = request.match_info["name"]
    try:
        texts = _texts(await request.read())
        await order(name, actor=texts.get("actor", "unknown"), reason=texts["reason"])
    except PayloadError as error:
        return fault(400, str(error))
    except RefusedError as error:
        return fault(409, str(error))
    except JournalError as error:
        return fault(503, str(error))
    return web.json_response(trial_data(trials.trials[name]))


def _texts(body: bytes) -> dict[str, str]:
    try:
        data = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise PayloadError("expected JSON") from error
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise PayloadError("expected a JSON object of texts: actor, reason")
    if not data.get("reason"):
        raise PayloadError("reason: is required; those who read the journal later will ask")
    return {key: clean(value) for key, value in data.items()}


def trial_data(trial: Trial) -> dict[str, Any]:
    """An experiment as JSON-ready data."""
    return {
        "name": trial.name,
        "running": trial.running,
        "started_at": to_text(trial.started_at),
        "stopped_at": to_text(trial.stopped_at) if trial.stopped_at else None,
        "weights": dict(trial.weights[-1].of),
        "reason": trial.reason,
        "actor": trial.actor,
    }

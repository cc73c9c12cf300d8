"""The part of the table of routes that changes something: commands, drills, experiments."""

from collections.abc import Mapping
from functools import partial

from alertmanager.receiver import answers
from alertmanager.receiver.http import bodies
from alertmanager.receiver.http.api import Api
from canary.names import API_PREFIX
from canary.rollout.commands.verbs import Verb
from canary.web.routes.table import JSON, Answer, Handler, Role, Route, Table, as_json

_COMMANDS: Mapping[Verb, tuple[type[bodies.Command], str, str]] = {
    Verb.START: (
        bodies.Start,
        "Begin a rollout",
        "Refused while another rollout is not over, and while a router has faults that would hinder a rollback.",
    ),
    Verb.HOLD: (bodies.Command, "Freeze the canary's traffic weight", "Only `resume` lifts it. Cancels a countdown."),
    Verb.RESUME: (
        bodies.Forcible,
        "Let a held rollout go on",
        "Cancels a countdown; its cause is overridden for the rest of the phase.",
    ),
    Verb.ADVANCE: (
        bodies.Advance,
        "Go to the next phase, or to the one with a share",
        (
            "A person is one key; Prometheus, showing no alert that asks for a rollback or a hold, is the other. "
            "Where a gate asks for several people, the answer is an entry `approved` until enough have sent it, each "
            "with a token of their own."
        ),
    ),
    Verb.PROMOTE: (bodies.Forcible, "Give the canary all customers", "As `advance`, whatever phase it is in."),
    Verb.FINISH: (
        bodies.Finish,
        "Finish a promoted release",
        "Once the stable servers run the new version, traffic returns to them step by step; then the canary stops.",
    ),
    Verb.ROLLBACK: (bodies.RollBack, "Take all customers off the canary", "One key is enough."),
}


_UNWRITTEN = Answer("The journal cannot be written; nothing has changed.", answers.Fault)


def journal_route(
    path: str,
    handler: Handler,
    body: type[bodies.Command],
    summary: str,
    description: str,
    refusals: Mapping[int, Answer],
    *,
    unwritten: Answer = _UNWRITTEN,
) -> Route:
    """What lets an operator have an entry written to the journal.

    Args:
        path: below the API's.
        refusals: what it answers besides the entry.
        unwritten: what comes of a journal that cannot be written.
    """
    return Route(
        method="POST",
        path=f"{API_PREFIX}/{path}",
        handler=handler,
        role=Role.OPERATOR,
        own_name=Role.OPERATOR,
        body=body,
        types=(JSON,),
        headers=bodies.CommandHeaders,
        render=as_json,
        operation="_".join(reversed(path.split("/"))),
        summary=summary,
        description=description,
        answers={200: Answer("The journal entry that was written.", answers.Entry), **refusals, 503: unwritten},
    )


def command_route(api: Api, verb: Verb) -> Route:
    """What carries one of people's commands."""
    unfit = Answer(
        "It does not fit the rollout's state, or the rollout is no longer as the sender saw it; the text says why.",
        answers.Fault,
    )
    unseen = Answer("A command that raises traffic does not say what its sender saw.", answers.Fault)
    return journal_route(
        verb.value,
        api.start if verb is Verb.START else partial(api.command, verb),
        *_COMMANDS[verb],
        {409: unfit} if verb is Verb.HOLD else {409: unfit, 428: unseen},
        unwritten=Answer(
            "The journal cannot be written; a rollback and a hold are acted upon nevertheless.", answers.Fault
        ),
    )


def adopt_route(api: Api) -> Route:
    """What ends the doubt about a journal."""
    return journal_route(
        "adopt",
        partial(api.command, "adopt"),
        bodies.Adopt,
        "Take over what is in force",
        "While the journal cannot be what the routers were driven by: the rollout is held at this weight.",
        {409: Answer("There is no doubt about the journal; the text says so.", answers.Fault)},
        unwritten=Answer("The journal cannot be written.", answers.Fault),
    )


def unschedule_route(api: Api) -> Route:
    """What takes a scheduled start back."""
    return journal_route(
        "unschedule",
        api.unschedule,
        bodies.Command,
        "Take a scheduled start back",
        "",
        {409: Answer("Nothing is scheduled.", answers.Fault)},
    )


def amend_route(api: Api) -> Route:
    """What lets a running rollout go by another policy."""
    unfit = "No rollout runs, the file is faulty or needs a restart, or this cannot be amended; the text says why."
    return journal_route(
        "amend",
        api.amend,
        bodies.Amend,
        "Let the running rollout go by the policy file as it is now",
        "The receiver reads its file again. What makes the guard looser needs a reason.",
        {
            409: Answer(unfit, answers.Fault),
            428: Answer("It does not say what its sender saw.", answers.Fault),
        },
    )


_EXPERIMENTS = f"{API_PREFIX}/experiments"

# Ids are made by `canary drill` or by the receiver; both write hexadecimal digits.
_DRILL_ID = "{id:[a-z0-9]{1,32}}"


def drill_routes(api: Api) -> Table:
    """Drills, and what became of them."""
    return (
        Route(
            method="POST",
            path=f"{API_PREFIX}/drill",
            handler=api.start_drill,
            role=Role.OPERATOR,
            own_name=Role.OPERATOR,
            body=bodies.Nothing,
            types=(JSON,),
            render=as_json,
            operation="drill",
            summary="Let a rule of Prometheus begin a drill",
            description="What `canary drill --through-prometheus` calls. Moves no traffic.",
            answers={200: Answer("The drill's id.", answers.DrillStarted)},
        ),
        Route(
            method="GET",
            path=f"{API_PREFIX}/drill/{_DRILL_ID}",
            handler=api.drill,
            render=as_json,
            operation="drill_report",
            summary="What became of a drill",
            answers={
                200: Answer("What was found at each place that a rollback would touch.", answers.Drill),
                404: Answer("No alert of this drill has arrived.", answers.Fault),
            },
        ),
    )


def experiment_routes(api: Api) -> Table:
    """Experiments: where they stand, and what stops and starts one."""
    changes = (
        ("stop", api.stop_experiment, "Stop an experiment", "Everybody gets the control with the next question."),
        ("start", api.start_experiment, "Restart a stopped experiment", "With fresh evidence."),
    )
    return (
        Route(
            method="GET",
            path=_EXPERIMENTS,
            handler=api.experiments,
            render=as_json,
            operation="experiments",
            summary="Where the experiments stand",
            answers={200: Answer("Every experiment that has begun.", list[answers.Experiment])},
        ),
        *(_experiment_change(*change) for change in changes),
    )


def _experiment_change(verb: str, handler: Handler, summary: str, description: str) -> Route:
    return Route(
        method="POST",
        path=f"{_EXPERIMENTS}/{{name}}/{verb}",
        handler=handler,
        role=Role.OPERATOR,
        own_name=Role.OPERATOR,
        body=bodies.ExperimentCommand,
        types=(JSON,),
        render=as_json,
        operation=f"{verb}_experiment",
        summary=summary,
        description=description,
        answers={
            200: Answer("Where the experiment stands now.", answers.Experiment),
            409: Answer("There is no such experiment, or it is so already; the text says which.", answers.Fault),
            503: _UNWRITTEN,
        },
    )

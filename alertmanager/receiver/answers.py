"""What the receiver's API answers: the shape of every JSON object, for those who make it, type checks and OpenAPI.

Typed dictionaries rather than models: an answer is made by this program, so there is nothing to validate, and a flag's
evaluation costs no more than before.
"""

# long: every answer's shape once, searched and not read

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from canary.rollout.commands.verbs import Verb
from canary.rollout.kinds import Kind, Step
from canary.rollout.state import State

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Ratio = Annotated[float, Field(ge=0, le=1)]


def _said(description: str) -> Any:
    return Field(description=description)


class Phase(TypedDict):
    """One phase of a rollout."""

    traffic_ratio: Annotated[Ratio, _said("Share of the customers.")]
    duration_seconds: Annotated[float, _said("How long it lasts at least.")]
    gate: Annotated[str, _said("`none`, `manual` or `url`: what else it waits for when its time is over.")]


class Passport(TypedDict):
    """What was found when the rollout began."""

    stable: Annotated[dict[str, str], _said("By stable server, the version that it ran, or `unknown: ` and why.")]
    canary: Annotated[dict[str, str], _said("As `stable`, for the canary's servers.")]
    routers: Annotated[dict[str, str], _said("By router, the canary's weight that it had.")]
    before: Annotated[str, _said("What became of the same version the last time; empty when there was none.")]
    drill: Annotated[str, _said("When a drill last passed; empty when none has.")]
    policies: Annotated[
        dict[str, str],
        _said(
            "By `exporter`, `receiver` and `rules`, the digest of the policy that it went by, or `unknown: ` and why."
        ),
    ]
    schema: Annotated[
        str,
        _said("Whether the order database had what both versions need, or `unknown: ` and why; empty when not asked."),
    ]
    silences: Annotated[list[str], _said("What a silence kept rollbacks and holds from doing.")]
    freeze: Annotated[str, _said("The change freeze that the start went through; empty when there was none.")]
    warnings: Annotated[list[str], _said("What will hurt one day, and what `--force` overrode.")]
    forced: Annotated[bool, _said("Whether it began with `--force`.")]
    summary: Annotated[list[str], _said("All of it in sentences.")]


class Finishing(TypedDict):
    """How far the traffic of a promoted release has returned to the stable servers."""

    step: Annotated[int, _said("Steps that are taken; 0 while the stable servers are to get the new version.")]
    steps: Annotated[list[Ratio], _said("By step, the share of the customers that is back on the stable servers.")]
    step_seconds: Annotated[float, _said("How long each step lasts at least.")]
    frozen: Annotated[bool, _said("Whether it stays where it is; `reason` says why.")]
    unverified: Annotated[bool, _said("Whether only a person says that the stable servers run the new version.")]


class Approval(TypedDict):
    """A step up that several people must agree to."""

    to_ratio: Annotated[Ratio | None, _said("The share of the phase that it leads to; null for a promotion.")]
    needed: Annotated[int, _said("How many people must agree.")]
    given: Annotated[list[str], _said("Who has, by names that were proven.")]
    summary: Annotated[str, _said("All of it in a few words.")]


class Rollout(TypedDict):
    """The newest rollout."""

    id: Annotated[str, _said("The rollout's id; alerts carry it as their label `rollout`.")]
    stable: Annotated[str, _said("The version that served before.")]
    canary: Annotated[str, _said("The version that is being judged.")]
    state: Annotated[State, _said("Where it stands.")]
    decision: Annotated[int, _said("Position of the newest decision in the journal.")]
    decided_seconds: Annotated[float | None, _said("How long ago that decision was made.")]
    summary: Annotated[str, _said("Where it stands, in words.")]
    seen: Annotated[str, _said("What a command says that it saw: `If-Match`, or `seen` in its body.")]
    plan: Annotated[str, _said("The name of the policy's plan that it runs by.")]
    approvals: Annotated[list[Approval], _said("What several people must agree to, and who has.")]
    phase: Annotated[int, _said("Index of the phase, from 0.")]
    phases: list[Phase]
    weight_ratio: Annotated[Ratio, _said("The share that is wanted now.")]
    started_at: Annotated[Moment, _said("When it began.")]
    phase_started_at: Annotated[Moment, _said("When the phase began; a hold does not move it.")]
    phase_elapsed_seconds: Annotated[float, _said("How long the phase has lasted.")]
    ended_at: Annotated[Moment | None, _said("When it was promoted, finished, rolled back or given up.")]
    lifts: Annotated[bool, _said("Whether a hold ends by itself once its cause is gone.")]
    rollback_at: Annotated[Moment | None, _said("End of the countdown in which a person may cancel the rollback.")]
    passport: Annotated[Passport | None, _said("What was found when it began; null where nobody looked.")]
    finishing: Annotated[Finishing | None, _said("While the release is finished, and afterwards; otherwise null.")]
    stable_slot: Annotated[
        Literal["a", "b"] | None, _said("With `router.slots`, the slot that is stable now; null without.")
    ]
    cause: Annotated[
        str,
        _said("Of a hold or rollback: an alert's name, `manual`, `watchdog`, `max_duration`, `servers`."),
    ]
    reason: Annotated[str, _said("The newest decision's reason, for people.")]
    actor: Annotated[str, _said("Who made it.")]
    steps: Annotated[list[Step], _said("Steps of the rollback that are done.")]


class Price(TypedDict):
    """What a minute of going on costs, in one currency."""

    currency: str
    traffic_ratio: Annotated[Ratio, _said("The canary's weight that it is about.")]
    loss_per_minute: Annotated[float, _said("Expected turnover that is lost a minute; negative where it is won.")]
    lower: Annotated[float, _said("The least that it may be, by the KPIs' bands.")]
    upper: Annotated[float, _said("The most that it may be.")]
    summary: Annotated[str, _said("All of it in a sentence, with what going back does.")]


class Router(TypedDict):
    """One traffic router."""

    name: str
    weight_ratio: Annotated[Ratio | None, _said("Read back; null when it cannot be read.")]
    detail: Annotated[str, _said("By instance.")]
    follows: Annotated[bool, _said("Whether it has in force what is wanted.")]
    error: Annotated[str, _said("Why it cannot be read or changed; empty when it can.")]


class Firing(TypedDict):
    """An alert about the rollout that fires."""

    name: str
    summary: Annotated[str, _said("What it says, with its values.")]
    severity: str
    action: Annotated[str, _said("What it asks for: `rollback`, `hold`, `advance` or `none`.")]
    since: Annotated[Moment | None, _said("Since when, by Prometheus' clock.")]
    runbook_url: Annotated[str, _said("What to do about it.")]
    dashboard_url: Annotated[str, _said("Where to look.")]


class Alerts(TypedDict):
    """What Prometheus says."""

    looked_at: Annotated[Moment | None, _said("The last look that succeeded.")]
    error: Annotated[str, _said("Why the last look failed.")]
    firing: Annotated[list[str], _said("Alerts about the rollout that fire.")]
    alerts: Annotated[list[Firing], _said("The same, each with what it says.")]


class Silence(TypedDict):
    """A silence that keeps something about the rollout from happening."""

    id: Annotated[str, _said("Alertmanager's id, for `amtool silence expire`.")]
    action: Annotated[str, _said("What it keeps back: `rollback`, `hold`, or `advance`.")]
    matchers: Annotated[list[str], _said("What it covers.")]
    author: Annotated[str, _said("Who set it, as they say.")]
    comment: Annotated[str, _said("Why.")]
    ends_at: Annotated[Moment, _said("When it ends.")]
    alerts: Annotated[list[str], _said("Alerts about the rollout that fire now and do not act because of it.")]
    summary: Annotated[str, _said("All of it in one sentence.")]


class Silences(TypedDict):
    """What Alertmanager says."""

    error: Annotated[str, _said("Why its silences are not known; then none of them keeps an alert from acting.")]
    silences: list[Silence]
    inhibited: Annotated[
        list[str], _said("Alerts that fire and do not act, because one that inhibits them does; a sentence each.")
    ]


class Policy(TypedDict):
    """Which policy is in use where, by digests that cover everything that decides."""

    digest: Annotated[str, _said("Of the policy that the running rollout began with, or of the file while none runs.")]
    file: Annotated[str, _said("Of the file as this receiver last read it: what the next rollout begins with.")]
    in_use: Annotated[dict[str, list[str]], _said("By `exporter`, `receiver` and `rules`, as Prometheus has them.")]
    error: Annotated[str, _said("Why Prometheus does not say; empty when it does.")]
    notice: Annotated[str, _said("What the next rollout would be judged by, where the running one is not; or empty.")]
    differing: Annotated[list[str], _said("Every part that goes by another policy, in a sentence each.")]


class Schedule(TypedDict):
    """A rollout that is to begin at a moment."""

    start_at: Annotated[Moment | None, _said("When; null when nothing is scheduled.")]
    summary: Annotated[str, _said("All of it in one sentence.")]
    refused: Annotated[
        str, _said("Why the newest scheduled start was refused when it was due; empty once a rollout has begun.")
    ]


class Heartbeat(TypedDict):
    """The alert that always fires."""

    heard_at: Annotated[Moment | None, _said("When the heartbeat last came.")]
    blind: Annotated[bool, _said("Whether it has been away too long.")]


class LastDrill(TypedDict):
    """The last drill that has ended."""

    at: Annotated[Moment, _said("When.")]
    passed: Annotated[bool, _said("Whether a rollback would have arrived and could have acted.")]
    what: Annotated[str, _said("What was found.")]


class Freeze(TypedDict):
    """A change freeze in force: nothing is started or advanced without `force`."""

    title: Annotated[str, _said("Which one.")]
    until: Annotated[Moment | None, _said("When it ends; null when that is more than a year away.")]
    actor: Annotated[str, _said("Who began it; empty for one of the policy.")]
    summary: Annotated[str, _said("All of it in one sentence.")]


class Status(TypedDict):
    """Where everything stands."""

    service: Annotated[str, _said("The policy's service.")]
    now: Annotated[Moment, _said("The receiver's clock.")]
    leading: Annotated[bool, _said("Whether this receiver is the one that acts.")]
    seen: Annotated[
        str,
        _said("What a command says that its sender saw, as `If-Match` or `seen`; `none/0` before the first rollout."),
    ]
    accepts: Annotated[list[Verb], _said("The commands that fit now.")]
    rollout: Annotated[Rollout | None, _said("The newest rollout; null before the first.")]
    prices: Annotated[list[Price], _said("What going on costs while a rollout runs; empty where it is not known.")]
    settled: Annotated[bool, _said("Whether every router has in force what is wanted.")]
    waiting_for: Annotated[str, _said("Why the rollout does not go on, as of the last look; empty when none runs.")]
    waiting_reason: Annotated[
        str,
        _said(
            "The same as one word: `time`, `gate`, `silence`, `freeze`, `hold`, `evidence`, `prometheus`, "
            "`alertmanager`, `servers`, `routers` or `process`; empty when none runs."
        ),
    ]
    routers: list[Router]
    process: Annotated[str | None, _said("What the canary's process was when it was last stopped.")]
    errors: Annotated[dict[str, str], _said("By the step that is being repeated, why.")]
    prometheus: Alerts
    alertmanager: Silences
    schedule: Schedule
    policy: Policy
    watchdog: Heartbeat
    drill: Annotated[LastDrill | None, _said("The last drill; null when there was none.")]
    freeze: Annotated[Freeze | None, _said("The change freeze in force; null when there is none.")]
    untold: Annotated[int, _said("Messages that have not reached everybody yet.")]
    expired: Annotated[
        int,
        _said("Messages of the last seven days that were given up after `notify.expire`."),
    ]


class Entry(TypedDict):
    """One entry of the journal."""

    seq: Annotated[int, _said("Position in the journal; 0 while it could not be written.")]
    rollout: Annotated[str, _said("The rollout's id.")]
    kind: Annotated[
        str,
        Field(
            description="What it records; a newer version may write kinds that this one does not know.",
            examples=[kind.value for kind in Kind if kind is not Kind.UNKNOWN],
        ),
    ]
    at: Annotated[Moment, _said("When it was decided.")]
    actor: Annotated[str, _said("A person, `alertmanager`, `prometheus` or `receiver`.")]
    reason: Annotated[str, _said("For people.")]
    data: Annotated[dict[str, Any], _said("What the kind needs.")]


class Versions(TypedDict):
    """Both versions of a rollout."""

    stable: str
    canary: str


class ByRole(TypedDict):
    """One number of each role; null where nothing is known."""

    stable: float | None
    canary: float | None


class Rates(TypedDict):
    """How one version does; null where nothing is known."""

    error_rate: float | None
    payment_success_rate: float | None


class ShopMetrics(Rates):
    """The strategy's debugging commands: the rates are the canary's."""

    rollout: str | None
    versions: NotRequired[Versions]
    traffic_split: ByRole
    stable: Rates


class Accepted(TypedDict):
    """A notification was taken."""

    status: Literal["accepted"]


class Fault(TypedDict):
    """Why a request was refused."""

    error: Annotated[str, _said("Where, what was expected, what was found, what to do.")]


class DrillStarted(TypedDict):
    """A drill that Prometheus will begin."""

    id: Annotated[str, _said("The drill's id.")]


class DrillLink(TypedDict):
    """What was found at one place of the rollback path."""

    place: str
    ok: bool
    what: str


class Drill(TypedDict):
    """What became of a drill."""

    id: str
    heard_at: Moment
    finished_at: Moment | None
    passed: Annotated[bool, _said("Whether a rollback would have arrived and could have acted.")]
    links: list[DrillLink]


class Experiment(TypedDict):
    """Where an experiment stands."""

    name: Annotated[str, _said("Its name in the policy.")]
    running: Annotated[bool, _said("Whether users are assigned; otherwise everybody gets the control.")]
    started_at: Annotated[Moment, _said("Since when, UTC.")]
    stopped_at: Annotated[Moment | None, _said("When it was stopped, UTC.")]
    weights: Annotated[dict[str, float], _said("The weight of each variant.")]
    reason: Annotated[str, _said("Why it was stopped.")]
    actor: Annotated[str, _said("Who began or stopped it.")]


class FlagEvaluation(TypedDict):
    """What one user gets of one flag."""

    key: Annotated[str, _said("The flag's name.")]
    value: Annotated[bool | str | float, _said("What the application reads.")]
    reason: Annotated[Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED"], _said("Why, in OpenFeature's words.")]
    variant: Annotated[str, _said("The variant's name.")]
    metadata: Annotated[dict[str, Any], _said("The rollout that a flag follows, or the version that a variant means.")]


class FlagFault(TypedDict):
    """Why a flag cannot be evaluated."""

    key: Annotated[str, _said("The flag's name; empty for all flags.")]
    errorCode: Annotated[
        Literal["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "FLAG_NOT_FOUND", "GENERAL"],
        _said("OFREP's code."),
    ]
    errorDetails: Annotated[str, _said("What was expected, what was found.")]


class FlagEvaluations(TypedDict):
    """Every flag, evaluated or with what is wrong."""

    flags: list[FlagEvaluation | FlagFault]

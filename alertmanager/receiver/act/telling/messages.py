"""What people read: one message per decision, with the values behind it and what to do now."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from canary.inert import inert
from canary.names import ALERTS, BLIND_ALERT, DASHBOARD_UIDS
from canary.notify import Message, Tone
from canary.rollout.entries import (
    Adopted,
    Advanced,
    Entry,
    FinishBegan,
    Finished,
    FinishReturned,
    FinishStepped,
    Held,
    Promoted,
    Recorded,
    Resumed,
    RollbackDecided,
    Started,
)
from canary.rollout.kinds import Cause, Step
from canary.rollout.state import Rollout, State
from canary.timing.zones import in_zone
from canary.units import format_ratio

OCCASIONS = frozenset({"start", "advance", "hold", "blind", "rollback", "promotion"})

# Not every record has an occasion of its own in `notify.on`: whoever wants to hear of holds wants to hear of these.
_RECORDS = {
    "dry_run": "rollback",
    "dry_hold": "hold",
    "watch": "rollback",
    "watched": "promotion",
    "gate": "hold",
    "router": "hold",
    "clock": "hold",
    "pause": "hold",
    "silence": "hold",
    "schedule": "start",
}

_BLIND_CAUSES = frozenset({Cause.WATCHDOG, BLIND_ALERT})


def _no_link(_rollout: str, _entry: int) -> str:
    return ""


@dataclass(frozen=True)
class Facts:
    """What the receiver knows at the moment of writing, beyond the journal.

    Attributes:
        faults: by the step that does not succeed, the reason.
        prices: what a minute of going on costs, by currency; empty where it is not known.
        technical: whether errors and response times are watched too.
        page: where people open the page.
        zone: in which they read times.
        runbooks: what stands before the name of an alert's runbook.
        dashboards: Grafana's address; empty where the policy has none.
        owners: by KPI.
        rollback_link: makes the link that rolls back, from the rollout's id and the entry's position; empty for none.
        process: whether the policy names a process of the canary, which a rollback stops.
    """

    service: str
    traffic: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)
    page: str = ""
    zone: str = "UTC"
    process: bool = True
    technical: bool = True
    prices: Sequence[str] = ()
    runbooks: str = ""
    dashboards: str = ""
    owners: Mapping[str, str] = field(default_factory=dict)
    rollback_link: Callable[[str, int], str] = _no_link


def occasion(entry: Entry) -> str:
    """The occasion of an entry as the policy's `notify.on` names it; empty when nobody need know."""
    match entry:
        case Started():
            return "start"
        case Advanced():
            return "advance"
        case Held():
            return "blind" if entry.cause in _BLIND_CAUSES else "hold"
        case Resumed():
            return "hold"
        case Promoted() | FinishBegan() | FinishReturned() | Finished():
            return "promotion"
        case FinishStepped():
            return "advance"
        case RollbackDecided():
            return "rollback"
        case Recorded():
            return _RECORDS.get(entry.occasion, "")
        case _:
            return ""


def message(entry: Entry, rollout: Rollout, facts: Facts, key: str, *, operators: bool = True) -> Message:
    """The message about one journal entry.

    Args:
        operators: whether its readers may roll back.
    """
    title, todo, tone = _parts(entry, rollout, facts)
    lines = [
        f"{rollout.canary} (canary) against {rollout.stable} (stable), rollout {rollout.id}",
        inert(entry.reason),
        f"Decided {entry.at:%Y-%m-%d %H:%M:%S} UTC by {inert(entry.actor)}.",
        # Right after a start or an advance the routers are still on their way.
        facts.traffic and isinstance(entry, RollbackDecided) and f"Traffic: {facts.traffic}.",
        *(f"Price: {inert(price)}." for price in facts.prices if isinstance(entry, Held | Advanced)),
        *map(inert, todo.splitlines()),
        *_links(entry, rollout, facts),
        *(_way_back(entry, rollout, facts) if operators else ()),
        f"[{key}]",
    ]
    text = "\n".join(line for line in lines if line)
    return Message(in_zone(f"{facts.service}: {inert(title)}", facts.zone), in_zone(text, facts.zone), tone)


def _way_back(entry: Entry, rollout: Rollout, facts: Facts) -> Iterator[str]:
    """The link that rolls back, while there is something to roll back."""
    if rollout.running and (url := facts.rollback_link(rollout.id, entry.seq)):
        yield f"Roll back (asks first; works once): {url}"


def _links(entry: Entry, rollout: Rollout, facts: Facts) -> Iterator[str]:
    """Where to look: whose KPI it is, the page, the runbook of the alert, the dashboard, the report."""
    if isinstance(entry, Held | RollbackDecided):
        if entry.kpi:
            owner = facts.owners.get(entry.kpi)
            yield f"KPI: {entry.kpi.replace('_', ' ')}" + (f", owner {owner}." if owner else ".")
        if facts.runbooks and entry.cause in ALERTS:
            yield f"Runbook: {facts.runbooks}{entry.cause}.md"
    if facts.page:
        yield f"Page: {facts.page}/"
    if facts.dashboards:
        query = f"var-service={facts.service}&var-rollout={rollout.id}"
        yield f"Dashboard: {facts.dashboards}/d/{DASHBOARD_UIDS['rollout']}?{query}"
    if facts.page and rollout.ended_at is not None:
        yield f"Report: {facts.page}/page/reports/{rollout.id} (written some seconds after the end)"


def _parts(entry: Entry, rollout: Rollout, facts: Facts) -> tuple[str, str, Tone]:
    match entry:
        case Adopted():
            todo = (
                "See `canary status`; go on with `canary resume`, `canary promote` or `canary rollback --reason TEXT`."
            )
            return f"canary {rollout.canary} is adopted at {format_ratio(entry.weight)}, and held", todo, Tone.WARNING
        case Started():
            share = (
                f"with {format_ratio(rollout.traffic[0])} of the customers"
                if rollout.traffic[0]
                else "for testers only"
            )
            todo = "" if facts.technical else "Errors and response times are not watched: its KPIs alone decide."
            return f"canary {rollout.canary} starts {share}", todo, Tone.INFO
        case Advanced():
            share = format_ratio(rollout.traffic[entry.phase])
            return f"canary {rollout.canary} advanced to {share} of customers", "", Tone.INFO
        case Held():
            return _held_parts(entry, rollout)
        case Resumed():
            what = "finishing" if rollout.state is State.FINISHING else "canary"
            return f"{what} {rollout.canary} goes on", "", Tone.INFO
        case Promoted():
            deploy = "" if rollout.stable_slot else f"deploy {rollout.canary} to the stable servers and "
            todo = (
                f"{rollout.canary} serves all customers, from the canary's servers. Keep {rollout.stable} ready for as "
                f"long as you can; then {deploy}run `canary finish`."
            )
            return f"canary {rollout.canary} is promoted", todo, Tone.SUCCESS
        case FinishBegan() | FinishStepped() | FinishReturned() | Finished():
            return _finish_parts(entry, rollout)
        case RollbackDecided():
            return _rollback_parts(rollout, facts, entry.cause)
        case Recorded():
            return _record_parts(entry, rollout)
        case _:
            return f"canary {rollout.canary}: {entry.label}", "", Tone.INFO


def _held_parts(entry: Held, rollout: Rollout) -> tuple[str, str, Tone]:
    if entry.rollback_at is not None:
        until = f"{entry.rollback_at:%Y-%m-%d %H:%M:%S}"
        todo = "To cancel: `canary resume` goes on, `canary hold` keeps the share. To hurry: `canary rollback`."
        return f"canary {rollout.canary} will be rolled back at {until} UTC ({entry.cause})", todo, Tone.WARNING
    if rollout.state is State.FINISHING:
        todo = "See `canary status`; `canary resume` goes on, `canary finish --back` returns to the canary's servers."
        return f"finishing {rollout.canary} is frozen ({entry.cause})", todo, Tone.FAILURE
    todo = "See `canary status`; go on with `canary resume`, or end it with `canary rollback --reason TEXT`."
    return f"canary {rollout.canary} is held ({entry.cause})", todo, Tone.WARNING


def _finish_parts(entry: Entry, rollout: Rollout) -> tuple[str, str, Tone]:
    match entry:
        case FinishStepped() if rollout.finishing is not None:
            back = format_ratio(1 - rollout.finishing.weights[entry.step])
            return f"{back} of the traffic is back on the stable servers, on {rollout.canary}", "", Tone.INFO
        case FinishReturned():
            todo = f"{rollout.canary} serves all customers from the canary's servers; `canary finish` restarts."
            return f"finishing {rollout.canary} was taken back", todo, Tone.WARNING
        case Finished():
            todo = f"{rollout.canary} is what `--stable` names in the next `canary start`."
            return f"release {rollout.canary} is finished", todo, Tone.SUCCESS
        case _:
            return f"release {rollout.canary} is being finished", "", Tone.INFO


def _rollback_parts(rollout: Rollout, facts: Facts, cause: str) -> tuple[str, str, Tone]:
    if rollout.state is not State.ROLLING_BACK:
        todo = f"{rollout.stable} serves all customers. Next: find the cause, then `canary start` anew."
        return f"canary {rollout.canary} was rolled back ({cause})", todo, Tone.FAILURE
    asked = (Step.TRAFFIC, Step.PROCESS) if facts.process else (Step.TRAFFIC,)
    missing = [step.value for step in asked if step not in rollout.steps]
    faults = "; ".join(f"{name}: {inert(fault)}" for name, fault in facts.faults.items())
    todo = (
        f"NOT COMPLETE: {', '.join(missing)} not confirmed. {faults}\nRetrying automatically; intervene manually now."
    )
    return f"rollback of {rollout.canary} is NOT complete ({cause})", todo, Tone.FAILURE


def _after(rollout: Rollout) -> str:
    """What can be done about a limit that is broken after a promotion."""
    if rollout.state is State.FINISHED:
        return f"Nothing was done: {rollout.canary} is finished, and on all servers. Release a corrected version."
    return f"Nothing was done: it is promoted. While {rollout.stable} is still there: `canary rollback`."


def _record_parts(entry: Recorded, rollout: Rollout) -> tuple[str, str, Tone]:
    cause = entry.key.partition(":")[2]
    match entry.occasion:
        case "dry_run":
            todo = "Nothing was done: this is a dry run."
            return f"canary {rollout.canary} would have been rolled back ({cause})", todo, Tone.WARNING
        case "dry_hold":
            todo = "Nothing was done: this is a dry run."
            return f"canary {rollout.canary} would have been held ({cause})", todo, Tone.WARNING
        case "watch":
            return f"{rollout.canary} breaks a limit after its promotion ({cause})", _after(rollout), Tone.FAILURE
        case "watched":
            todo = "The report is written anew: hold the review, and note what it finds with `canary note`."
            return f"the watch after the promotion of {rollout.canary} is over", todo, Tone.INFO
        case "silence":
            action, _, silence = cause.partition(":")
            todo = f"Alerts do not act until it ends. To end it: `amtool silence expire {silence}`."
            return f"{action}s of canary {rollout.canary} are silenced", todo, Tone.WARNING
        case "schedule":
            version = cause.partition(":")[0]
            return f"the scheduled start of {version} was refused", "Fix it, then `canary start`.", Tone.FAILURE
        case "clock":
            return f"the receiver's clock was set while {rollout.canary} runs", "Look after its time server.", Tone.INFO
        case "pause":
            todo = "Find out what stopped it: a paused virtual machine, a sleeping host, a signal."
            return f"the receiver was stopped while {rollout.canary} runs", todo, Tone.WARNING
        case "router":
            return f"a router of canary {rollout.canary} was restored", "Find out why it lost its weight.", Tone.WARNING
        case _:
            return f"canary {rollout.canary} waits for a person", "Go on with `canary advance`.", Tone.INFO

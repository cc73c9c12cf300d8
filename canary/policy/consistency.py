"""What no schema can say: sections of a policy that must fit one another."""

import ipaddress
import itertools
import zoneinfo
from collections.abc import Iterator, Mapping

from canary.names import ALERTS, KPI_ALERT
from canary.policy.document import Location
from canary.policy.experiments import Experiment
from canary.policy.kpis import Conversion, Kpi, Mean, Success
from canary.policy.model import Policy
from canary.policy.orders import Event
from canary.policy.release import CommandRouter, NginxRouter

Fault = tuple[Location, str]

OCCASIONS = ("start", "advance", "hold", "blind", "rollback", "promotion")
"""What `notify.on` may name."""


def inconsistencies(policy: Policy) -> Iterator[Fault]:
    """Every place where the policy contradicts itself, with what to do."""
    yield from _kpis(policy)
    yield from _events(policy)
    yield from _phases(policy)
    yield from _routers(policy)
    yield from _flags(policy)
    yield from _experiments(policy)
    yield from _durations(policy)
    for occasion in policy.notify.on:
        if occasion not in OCCASIONS:
            yield ("notify", "on"), f"no occasion {occasion!r}; known are {', '.join(OCCASIONS)}"
    for name in policy.signals.alerts:
        if name not in ALERTS and name != KPI_ALERT:
            yield (
                ("signals", "alerts", name),
                f"no alert has this name; known are {', '.join(sorted(ALERTS))}",
            )


def _durations(policy: Policy) -> Iterator[Fault]:
    """Intervals and windows that cannot be nothing."""
    positive: dict[Location, float] = {
        ("database", "window"): policy.database.window,
        ("database", "refresh"): policy.database.refresh,
        ("database", "reconcile"): policy.database.reconcile,
        ("database", "statement_timeout"): policy.database.statement_timeout,
        ("evidence", "bucket"): policy.evidence.bucket,
        ("evidence", "staleness"): policy.evidence.staleness,
        ("receiver", "poll"): policy.receiver.poll,
        ("receiver", "reconcile"): policy.receiver.reconcile,
        ("receiver", "repeat"): policy.receiver.repeat,
        ("signals", "window"): policy.signals.window,
        ("signals", "long_window"): policy.signals.long_window,
        ("signals", "scrape_interval"): policy.signals.scrape_interval,
        ("signals", "evaluation_interval"): policy.signals.evaluation_interval,
        **{("phases", index, "duration"): phase.duration for index, phase in enumerate(policy.phases)},
    }
    yield from ((place, "must be more than 0s") for place, seconds in positive.items() if seconds <= 0)
    if not 0 < policy.evidence.alpha < 1:
        yield ("evidence", "alpha"), "must be between 0% and 100%, such as 1%"


def _kpis(policy: Policy) -> Iterator[Fault]:
    events = policy.database.events
    for name, kpi in policy.kpis.items():
        unknown = [(key, event) for key, event in _named(kpi) if event not in events]
        for key, event in unknown:
            text = f"no event {event!r} in database.events; known are {', '.join(sorted(events))}"
            yield ("kpis", name, key), text
        if not unknown:
            for key, text in _lacking(kpi, events):
                yield ("kpis", name, key), text


def _named(kpi: Kpi) -> Iterator[tuple[str, str]]:
    """The events that a KPI names, by its keys."""
    if isinstance(kpi, Conversion):
        yield from (("from", kpi.from_), ("to", kpi.to))
    else:
        yield "of", kpi.of
        if isinstance(kpi, Mean) and kpi.since is not None:
            yield "since", kpi.since


def _lacking(kpi: Kpi, events: Mapping[str, Event]) -> Iterator[tuple[str, str]]:
    """What a KPI's events do not say although it needs it."""
    match kpi:
        case Conversion() if not _descends(events, kpi.to, kpi.from_):
            yield "to", _rootless(kpi.to, kpi.from_)
        case Success() if events[kpi.of].outcome is None:
            yield "of", f"{kpi.of!r} has no outcome; add database.events.{kpi.of}.outcome"
        case Mean(since=str(since)):
            if not _descends(events, kpi.of, since):
                yield "since", _rootless(kpi.of, since)
        case Mean() if events[kpi.of].value is None:
            yield "of", f"{kpi.of!r} has no value; add database.events.{kpi.of}.value"


def _descends(events: Mapping[str, Event], name: str, ancestor: str) -> bool:
    parent = events[name].parent
    return isinstance(parent, str) or (parent is not None and ancestor in parent)


def _rootless(name: str, ancestor: str) -> str:
    remedy = f"add database.events.{name}.parent.{ancestor}"
    return f"{name!r} does not say which of {ancestor!r} it comes from; {remedy}"


def _events(policy: Policy) -> Iterator[Fault]:
    for name, event in policy.database.events.items():
        if (event.table is None) == (event.sql is None):
            yield ("database", "events", name), "needs either `table` or `sql`"
    try:
        zoneinfo.ZoneInfo(policy.database.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        yield (
            ("database", "timezone"),
            f"no time zone {policy.database.timezone!r}; write one such as Asia/Karachi",
        )


def _phases(policy: Policy) -> Iterator[Fault]:
    traffic = [phase.traffic for phase in policy.phases]
    if not traffic:
        yield ("phases",), "at least one phase is needed"
        return
    for index, (before, after) in enumerate(itertools.pairwise(traffic), start=1):
        if after <= before:
            yield (
                ("phases", index, "traffic"),
                "must be more than the phase before has; customers are only added",
            )
    if traffic[0] <= 0:
        yield ("phases", 0, "traffic"), "must be more than 0%"
    if traffic[-1] != 1:
        yield ("phases", len(traffic) - 1, "traffic"), "the last phase must have 100%"
    for index, phase in enumerate(policy.phases):
        if phase.max_duration is not None and phase.max_duration < phase.duration:
            yield ("phases", index, "max_duration"), "must not be shorter than `duration`"


def _routers(policy: Policy) -> Iterator[Fault]:
    names: set[str] = set()
    for index, router in enumerate(policy.router):
        at: Location = ("router", index)
        if router.name in names:
            yield (*at, "name"), f"two routers are named {router.name!r}; give each its own name"
        names.add(router.name)
        for network in router.testers.networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                yield (*at, "testers", "networks"), f"not an address range: {error}"
        if isinstance(router, NginxRouter):
            yield from _whole_percents(policy, router.name)
        if not isinstance(router, CommandRouter):
            if (router.testers.header or ":").count(":") < 1:
                yield (*at, "testers", "header"), "expected `Name: value`"
            if "=" not in (router.testers.cookie or "="):
                yield (*at, "testers", "cookie"), "expected `name=value`"


def _whole_percents(policy: Policy, router: str) -> Iterator[Fault]:
    for index, phase in enumerate(policy.phases):
        if abs(phase.traffic * 100 - round(phase.traffic * 100)) > 1e-6:
            remedy = "write one, or use haproxy"
            yield ("phases", index, "traffic"), f"router {router!r} (nginx) divides in whole percents; {remedy}"


def _flags(policy: Policy) -> Iterator[Fault]:
    for name, flag in policy.flags.items():
        for key, variant in (("default", flag.default), ("treatment", flag.treatment)):
            if variant not in flag.variants:
                yield (
                    ("flags", name, key),
                    f"no variant {variant!r}; known are {', '.join(sorted(flag.variants))}",
                )
        if flag.follow_rollout and flag.percentage:
            yield ("flags", name, "percentage"), "follows the rollout's weight already; leave it out"


def _experiments(policy: Policy) -> Iterator[Fault]:
    by_flag: dict[str, str] = {}
    for name, experiment in policy.experiments.items():
        at: Location = ("experiments", name)
        if len(experiment.variants) < 2:
            yield (*at, "variants"), "an experiment needs at least two variants"
        if experiment.control not in experiment.variants:
            yield (*at, "control"), f"no variant {experiment.control!r}"
        for key, kpis in (("metrics", experiment.metrics), ("guardrails", experiment.guardrails)):
            for kpi in kpis:
                if kpi not in policy.kpis:
                    yield (*at, key), f"no KPI {kpi!r}; known are {', '.join(sorted(policy.kpis))}"
        yield from _told_apart(policy, at, experiment)
        flag = experiment.flag or name
        if flag in by_flag:
            yield (
                at,
                f"experiment {by_flag[flag]!r} assigns the users of flag {flag!r} too; give one a `flag` of its own",
            )
        by_flag[flag] = name
        assigning = policy.flags.get(flag)
        if assigning is not None and (assigning.percentage or assigning.groups or assigning.follow_rollout):
            yield (
                ("flags", flag),
                f"experiment {name!r} assigns its users; leave out percentage, groups and follow_rollout",
            )


def _told_apart(policy: Policy, at: Location, experiment: Experiment) -> Iterator[Fault]:
    """How the order database tells which variant a customer had."""
    versions = [variant.version for variant in experiment.variants.values() if variant.version is not None]
    if versions and len(versions) < len(experiment.variants):
        yield (*at, "variants"), "give every variant a `version`, or none"
    elif len(set(versions)) < len(versions):
        yield (*at, "variants"), "two variants have the same `version`, so that no row tells them apart"
    if not versions:
        judged = [kpi for name, kpi in policy.kpis.items() if name in {*experiment.metrics, *experiment.guardrails}]
        for event in sorted({event for kpi in judged if (event := _untold(policy, kpi)) is not None}):
            remedy = f"give each variant a `version`, or map the column that holds it: database.events.{event}.variant"
            yield (*at, "variants"), f"no row of {event!r} tells which variant a customer had; {remedy}"


def _untold(policy: Policy, kpi: Kpi) -> str | None:
    """The event whose rows would have to say a customer's variant, and do not."""
    events = policy.database.events
    if isinstance(kpi, Success):  # payments by themselves: one that fails may have no order, so that no visit is known
        return kpi.of if kpi.of in events and events[kpi.of].variant is None else None
    entries = [name for name, event in events.items() if event.parent is None]
    told = any(events[name].variant is not None for name in entries)
    return None if told or not entries else entries[0]

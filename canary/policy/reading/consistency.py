"""What no type can say: keys of a policy that must fit one another.

Bounds of a single value belong to its type (`canary.policy.values.types`), names of other parts to `references`. What
is left relates several keys: a phase to the one before it, a window to the scrapes that fill it, a name to the series
that already has it. Each finding says what is wrong at one of the places and what to do there.
"""
# long: one list of rules, each a few lines

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

from canary import names
from canary.policy import freeze as freezes
from canary.policy.database.section import LOG_SOURCE, Event, names_customers
from canary.policy.experiments import Experiment
from canary.policy.gates import ApprovalGate, UrlGate
from canary.policy.kpis import Conversion, Kpi, Mean, Success, events_of, segment_column, units_event
from canary.policy.model import Policy
from canary.policy.reading.references import At, Inconsistency, unknown_names
from canary.policy.reading.slotrules import slot_faults
from canary.policy.release import Phases, Process, Receiver
from canary.policy.routers.kinds import router_kinds
from canary.policy.routers.slots import slots_of
from canary.units import format_ratio

_SCRAPES: Final = 2
"""A rate needs two samples; over a shorter window every rate is missing, and no alert on one can ever fire."""

_FINEST: Final = 0.0001
"""The smallest share that any router can divide off."""

_GUARDS_OWN: Final = frozenset(
    {
        "alertname", names.SERVICE, names.ROLLOUT, names.PHASE, names.KPI, names.ACTION, names.DRY_RUN, names.SEVERITY,
        names.EXPERIMENT, names.DRILL_LABEL,
    }
)  # fmt: skip
"""Labels by which the receiver knows what an alert is about; another value there, and the alert is someone else's."""


def inconsistencies(policy: Policy) -> Iterator[Inconsistency]:
    """Every place where the policy contradicts itself, with what to do."""
    yield from unknown_names(policy)
    yield from _kpis(policy)
    yield from _series(policy)
    yield from _events(policy)
    yield from _signals(policy)
    yield from _phases(policy)
    yield from _finish(policy)
    yield from _routers(policy)
    yield from _process(policy.process)
    yield from slot_faults(policy)
    yield from _tokens(policy.receiver)
    yield from _servers(policy.receiver)
    yield from _operators(policy)
    for place, what, remedy in freezes.faults(policy.receiver.freeze):
        yield ("receiver", "freeze", *place), what, remedy
    yield from _flags(policy)
    yield from _experiments(policy)
    if policy.evidence.staleness <= policy.database.refresh:
        what = "must be longer than `database.refresh`: data would count as stale before it is read again"
        yield ("evidence", "staleness"), what, ""


def _servers(receiver: Receiver) -> Iterator[Inconsistency]:
    """What a server is shown must be whole, and no secret may stand among the headers."""
    prometheus, alertmanager = receiver.prometheus_server, receiver.alertmanager_server
    place = ("receiver", "prometheus")
    if (prometheus.url is None) == (prometheus.query is None):
        yield place, "names no one address for series", "write `url`, or `query` and `rules`"
    for key, server in (("prometheus", prometheus), ("alertmanager", alertmanager)):
        place = ("receiver", key)
        password = server.password_file or server.password_env
        if bool(server.username) != bool(password):
            yield place, "needs a user and a password together", "write `username` and `password_file`"
        if server.username and server.token_file:
            yield (*place, "token_file"), "there is a user already, and a question holds one of both", "remove one"
        if bool(server.cert_file) != bool(server.key_file):
            yield place, "needs a certificate and its key together", "write `cert_file` and `key_file`"
        for header in server.headers:
            if header.lower() in {"authorization", "cookie", "proxy-authorization"}:
                yield (
                    (*place, "headers", header),
                    "would be a secret in the policy",
                    "write `password_file` or `token_file`",
                )


def _kpis(policy: Policy) -> Iterator[Inconsistency]:
    events = policy.database.events
    for name, kpi in policy.kpis.items():
        if all(event in events for event in events_of(kpi)):
            for key, what, remedy in _lacking(kpi, events):
                yield ("kpis", name, key), what, remedy
        if isinstance(kpi, Mean) and kpi.better == "higher" and kpi.tolerance >= 1:
            yield ("kpis", name, "tolerance"), "a mean cannot fall by more than 100%", "allow less"
        if not isinstance(kpi, Mean) and kpi.by is not None:
            column = segment_column(policy.kpis.values(), units_event(kpi))
            if column != kpi.by:
                what = f"KPIs of {units_event(kpi)!r} look at two columns, {column!r} and {kpi.by!r}"
                yield ("kpis", name, "by"), what, "name the same column, or leave one out"
            if kpi.judge == "threshold":
                yield ("kpis", name, "by"), "a windowed threshold knows no segments", "remove it, or `judge: evidence`"
            if isinstance(kpi, Conversion) and kpi.complement:
                what = "a complement is shown as one minus the rate, and its segments are not"
                yield ("kpis", name, "by"), what, "give the conversion itself as another KPI, with `by`"


def _lacking(kpi: Kpi, events: Mapping[str, Event]) -> Iterator[tuple[str, str, str]]:
    """What a KPI's events do not say although it needs it: key, what, remedy."""
    match kpi:
        case Conversion() if kpi.to == kpi.from_:
            yield "to", f"every {kpi.to!r} would be its own conversion", "name the event that units convert to"
        case Conversion() if not _descends(events, kpi.to, kpi.from_) and not _by_customer(events, kpi):
            what, remedy = _rootless(kpi.to, kpi.from_)
            yield "to", what, f"{remedy}, or the `unit` (the customer) of both"
        case Conversion() if events[kpi.to].unit is not None and not names_customers(events, kpi.from_):
            what = f"{kpi.to!r} names its customer and {kpi.from_!r} does not, so that no unit would ever convert"
            yield "from", what, f"add database.events.{kpi.from_}.unit"
        case Success() if events[kpi.of].outcome is None:
            yield "of", f"{kpi.of!r} has no outcome", f"add database.events.{kpi.of}.outcome"
        case Mean(since=str(since)):
            if not _descends(events, kpi.of, since):
                yield "since", *_rootless(kpi.of, since)
        case Mean() if events[kpi.of].value is None:
            yield "of", f"{kpi.of!r} has no value", f"add database.events.{kpi.of}.value"


def _descends(events: Mapping[str, Event], name: str, ancestor: str) -> bool:
    parent = events[name].parent
    return isinstance(parent, str) or (parent is not None and ancestor in parent)


def _by_customer(events: Mapping[str, Event], kpi: Conversion) -> bool:
    """Whether what converts is known by its customer."""
    return events[kpi.to].unit is not None and names_customers(events, kpi.from_)


def _rootless(name: str, ancestor: str) -> tuple[str, str]:
    remedy = f"add database.events.{name}.parent.{ancestor}"
    return f"{name!r} does not say which of {ancestor!r} it comes from", remedy


def _series(policy: Policy) -> Iterator[Inconsistency]:
    """Two things that would be published under one name.

    OpenMetrics counts a counter's name without `_total`, so that a KPI `orders` collides with the counter of orders.
    """
    taken: dict[str, str] = {}
    for event, mapping in policy.database.events.items():
        stems = [event, *([f"{event.removesuffix('s')}_value"] if mapping.value and mapping.currency else [])]
        for stem in stems:
            other = taken.setdefault(stem, event)
            if other != event:
                what = f"its counter {names.event_total(stem)} is that of {other!r}"
                yield ("database", "events", event), what, "give one of them another name"
    for kpi in policy.kpis:
        event = taken.get(kpi.removesuffix("_total").removesuffix("_created"), "")
        if event:
            what = f"its series {names.kpi_gauge(kpi)} collides with the counter of {event!r}"
            yield ("kpis", kpi), what, "give the KPI another name"


def _events(policy: Policy) -> Iterator[Inconsistency]:
    for name, event in policy.database.events.items():
        at: At = ("database", "events", name)
        if (event.table is None) == (event.sql is None):
            yield at, "needs either `table` or `sql`", ""
        for key, taken in (("failed", event.failed), ("pending", event.pending)):
            both = sorted({*event.succeeded} & {*taken})
            if event.outcome is not None and both:
                yield (*at, key), f"{both[0]!r} is a success as well", "say it in one of the two"
        if event.outcome is not None and (both := sorted({*event.failed} & {*event.pending})):
            yield (*at, "pending"), f"{both[0]!r} is a failure as well", "say it in one of the two"
        if event.identity is not None and event.unit is None:
            yield (*at, "identity"), "there is no `unit` whose customer could be looked for", "name its column"
    for name, pairs in policy.database.identities.items():
        if (pairs.table is None) == (pairs.sql is None):
            yield ("database", "identities", name), "needs either `table` or `sql`", ""

    yield from _versions(policy)
    yield from _sources(policy)
    yield from _elsewhere(policy)


def _sources(policy: Policy) -> Iterator[Inconsistency]:
    """Where events are, and what is looked up for them: no statement reaches into another database."""
    database = policy.database
    for name, source in database.sources.items():
        named = [one for one in (source.url, source.urls, source.url_file, source.url_env) if one is not None]
        if len(named) != 1:
            yield ("database", "sources", name), "needs one of `url`, `urls`, `url_file` and `url_env`", ""
        if name == LOG_SOURCE and database.log is not None:
            yield ("database", "sources", name), "is the source of `database.log` already", "give it another name"
    for name, event in database.events.items():
        at: At = ("database", "events", name)
        pairs = database.identities.get(event.identity or "")
        if pairs is not None and pairs.source != event.source and pairs.time is None:
            what = f"{event.identity!r} is in another database, and its pairs are read from there by their `time`"
            yield (*at, "identity"), what, f"name the column in database.identities.{event.identity}"
        for parent in event.parent if isinstance(event.parent, dict) else ():
            above = database.events[parent].source if parent in database.events else event.source
            shards = database.sources.get(above or "")
            if above != event.source and shards is not None and shards.urls and not shards.unique_ids:
                what = f"each shard of {above!r} has ids of its own, and a row of another source does not say of which"
                yield (*at, "parent", parent), what, f"say `unique_ids: true` in database.sources.{above}, where it is"


def _elsewhere(policy: Policy) -> Iterator[Inconsistency]:
    """What is about a database from which nothing is read, and would do nothing."""
    database = policy.database
    if all(event.source is not None for event in database.events.values()):
        for key in ("replica", "primary", "required"):
            if getattr(database, key):
                what = "is about the database that `database.url` names, and no event is read from there"
                yield ("database", key), what, "remove the section"
    primary = database.primary
    if primary is not None:
        at = ("database", "primary")
        if sum(one is not None for one in (primary.url, primary.url_file, primary.url_env)) != 1:
            yield at, "needs one of `url`, `url_file` and `url_env`", ""
        if database.replica is None:
            yield at, "is that of a read replica, and `database.url` is not called one", "add `replica: {}`"


def _versions(policy: Policy) -> Iterator[Inconsistency]:
    """Where versions come from that no row says."""
    log = policy.database.log
    if policy.signals.preset == "log" and log is None:
        yield ("signals", "preset"), "there is no `database.log` whose requests could be counted", "add one"
    if log is not None and not (log.file or log.udp or log.socket):
        yield ("database", "log"), "names no way in", "write `file`, `udp` or `socket`"
    assignments = policy.database.assignments
    if assignments is not None:
        at = ("database", "assignments")
        if sum(source is not None for source in (assignments.table, assignments.sql, assignments.from_)) != 1:
            yield at, "needs either `table`, `sql` or `from`", ""
        elif assignments.from_ == "log" and log is None:
            yield (*at, "from"), "there is no `database.log` that would be followed", "add one"
        elif assignments.from_ == "router" and not policy.router:
            yield (*at, "from"), "there is no `router` whose choice could be computed", "add one"
        elif assignments.from_ is not None and not router_kinds().usable[policy.router[0].kind].assigns:
            what = (
                f"a router of kind {policy.router[0].kind!r} draws each request anew: nobody's version can be computed"
            )
            yield (*at, "from"), what, "let the shop write who was served by what, and name that `table`"
        if assignments.from_ is not None and assignments.tester is not None:
            known = "the log says it" if assignments.from_ == "log" else "by the router's hash nobody is a tester"
            yield (*at, "tester"), f"is a column of a table, and there is none: {known}", "remove it"


def _signals(policy: Policy) -> Iterator[Inconsistency]:
    signals = policy.signals
    if signals.window < _SCRAPES * signals.shop_interval:
        what = f"must hold at least {_SCRAPES} scrapes: no rate is known over less"
        yield ("signals", "window"), what, "take a longer window, or a shorter `scrape_interval` of the shop"
    if signals.long_window < signals.window:
        yield ("signals", "long_window"), "must not be shorter than `window`", ""
    labels = (signals.version_label, signals.endpoint_label, signals.status_label)
    if len(set(labels)) < len(labels):
        yield ("signals",), "version_label, endpoint_label and status_label must be three labels", ""
    if signals.preset == "haproxy" and signals.canary_backend == signals.stable_backend:
        yield ("signals", "canary_backend"), "is stable's backend too: the canary would be compared with itself", ""
    if signals.query_duration and signals.preset != "application":
        what = f"is read of the shop's own series, and `preset: {signals.preset}` reads others"
        yield ("signals", "query_duration"), what, "use `preset: application`, or leave it out"
    for alert, override in signals.alerts.items():
        for label in sorted(_GUARDS_OWN & override.labels.keys()):
            own = label if label in ("severity", "action", "dry_run") else ""
            remedy = f"use the key `{own}` next to `labels`" if own else "give the label another name"
            yield ("signals", "alerts", alert, "labels", label), "the receiver knows the alert by this label", remedy


def _phases(policy: Policy) -> Iterator[Inconsistency]:
    for at, phases in _plans(policy):
        yield from _shares(at, phases)
        for index, phase in enumerate(phases):
            if phase.max_duration is not None and phase.max_duration < phase.duration:
                yield (*at, index, "max_duration"), "must not be shorter than `duration`", ""


def _plans(policy: Policy) -> Iterator[tuple[At, Phases]]:
    """Every plan, with its place."""
    yield ("phases",), policy.phases
    for name, phases in policy.plans.items():
        yield ("plans", name), phases


def _shares(at: At, phases: Phases) -> Iterator[Inconsistency]:
    traffic = [phase.traffic for phase in phases]
    for index, (before, after) in enumerate(itertools.pairwise(traffic), start=1):
        if after <= before:
            what = "must be more than the phase before has; customers are only added"
            yield (*at, index, "traffic"), what, ""
    if traffic[-1] != 1:
        yield (*at, len(traffic) - 1, "traffic"), "the last phase must have 100%", ""
    for index, phase in enumerate(phases):
        if 0 < phase.traffic < _FINEST:
            what = f"expected 0%, or from {format_ratio(_FINEST)} to 100%, found {format_ratio(phase.traffic)}"
            yield (*at, index, "traffic"), what, ""
        if phase.traffic == 0 and (phase.gate is None or isinstance(phase.gate, UrlGate)):
            # No customer is on the canary, so that no evidence can ever say that the phase is complete.
            what = "with 0%, only testers see the canary, and only people can say when they have seen enough"
            yield (*at, index, "gate"), what, "add `gate: manual`, or `gate: {approvers: 2}`"


def _finish(policy: Policy) -> Iterator[Inconsistency]:
    steps = policy.finish.steps
    for index, (before, after) in enumerate(itertools.pairwise(steps), start=1):
        if after <= before:
            yield ("finish", "steps", index), "must be more than the step before; customers only return", ""
    if steps[-1] != 1:
        yield ("finish", "steps", len(steps) - 1), "the last step must be 100%", ""


def _routers(policy: Policy) -> Iterator[Inconsistency]:
    seen: set[str] = set()
    for index, router in enumerate(policy.router):
        at: At = ("router", index)
        if router.name in seen:
            yield (*at, "name"), f"two routers are named {router.name!r}", "give each its own name"
        seen.add(router.name)
        kind = router_kinds().usable[router.kind]
        if kind.parts:
            what = f"router {router.name!r} ({router.kind}) divides in {kind.steps}"
            yield from _divisible(policy, kind.parts, what, kind.remedy)
        for key, what, remedy in kind.faults(router):
            yield (*at, key), what, remedy
        if router.probe is not None and (router.probe.header is None) == (router.probe.json is None):
            yield (*at, "probe"), "needs either `header` or `json`", "say where a server's answer has its version"
        slots = slots_of(router)
        if router.probe is not None and slots is None and not (router.upstreams.stable and router.upstreams.canary):
            yield (*at, "probe"), "asks servers that the policy does not name", "give `upstreams`, stable and canary"
        for address in sorted({*router.upstreams.stable} & {*router.upstreams.canary}):
            what = f"{address} serves stable as well: the canary would be compared with itself"
            yield (*at, "upstreams", "canary"), what, "give each version its own address"


def _divisible(policy: Policy, parts: int, what: str, remedy: str) -> Iterator[Inconsistency]:
    """Shares that a router cannot divide off, and would round."""
    shares: list[tuple[At, float]] = [
        *(
            ((*at, index, "traffic"), phase.traffic)
            for at, phases in _plans(policy)
            for index, phase in enumerate(phases)
        ),
        *((("finish", "steps", index), step) for index, step in enumerate(policy.finish.steps)),
    ]
    for at, share in shares:
        if abs(share * parts - round(share * parts)) > 1e-6:
            yield at, what, remedy


def _tokens(receiver: Receiver) -> Iterator[Inconsistency]:
    """One secret for two rights: whoever may send webhooks, or ask for flags, could then advance a canary."""
    files = (receiver.token_file, receiver.previous_token_file, receiver.flags_token_file, receiver.router_token_file)
    for key, operators, others in (
        ("operator_token_file", receiver.operator_token_file, files),
        (
            "operator_token_env",
            receiver.operator_token_env,
            (receiver.token_env, receiver.flags_token_env, receiver.router_token_env),
        ),
    ):
        if operators is not None and operators in others:
            yield (
                ("receiver", key),
                "is another token as well, so that its holder could advance a canary",
                "make its own",
            )


def _operators(policy: Policy) -> Iterator[Inconsistency]:
    operators = policy.receiver.operators
    for name, operator in operators.items():
        at: At = ("receiver", "operators", name)
        if (operator.token_file is None) == (operator.token_env is None):
            yield at, "needs either `token_file` or `token_env`", ""
    for at, phases in _plans(policy):
        for index, phase in enumerate(phases):
            if isinstance(phase.gate, ApprovalGate) and 0 < len(operators) < phase.gate.approvers:
                what = f"asks for {phase.gate.approvers} people, and receiver.operators names {len(operators)}"
                yield (*at, index, "gate"), what, "name more operators, or ask for fewer"


def _process(process: Process) -> Iterator[Inconsistency]:
    others = process.name in ("all", "default") or process.name.isdigit() or process.name.startswith("/")
    if process.kind == "pm2" and others:
        what = (
            f"by `{process.name}` pm2 means other processes too: `all`, a number that is an id, a /pattern/, or "
            "`default`, the namespace of everything that has no other"
        )
        yield ("process", "name"), what, "give the canary's process a name, and say that"
    if process.kind == "command" and not process.stop:  # without `start` and `status` nobody is asked; that may be
        yield ("process", "stop"), "is required with `kind: command`", "give a program and its arguments"


def _flags(policy: Policy) -> Iterator[Inconsistency]:
    for name, flag in policy.flags.items():
        if flag.follow_rollout and flag.percentage:
            yield ("flags", name, "percentage"), "follows the rollout's weight already", "leave it out"


def _experiments(policy: Policy) -> Iterator[Inconsistency]:
    by_flag: dict[str, str] = {}
    for name, experiment in policy.experiments.items():
        at: At = ("experiments", name)
        if len(experiment.variants) < 2:
            yield (*at, "variants"), "an experiment needs at least two variants", ""
        yield from _told_apart(policy, at, experiment)
        flag = experiment.flag or name
        if flag in by_flag:
            what = f"experiment {by_flag[flag]!r} assigns the users of flag {flag!r} too"
            yield at, what, "give one a `flag` of its own"
        by_flag[flag] = name
        assigning = policy.flags.get(flag)
        if assigning is not None and (assigning.percentage or assigning.groups or assigning.follow_rollout):
            what = f"experiment {name!r} assigns its users"
            yield ("flags", flag), what, "leave out percentage, groups and follow_rollout"


def _told_apart(policy: Policy, at: At, experiment: Experiment) -> Iterator[Inconsistency]:
    """How the order database tells which variant a customer had."""
    versions = [variant.version for variant in experiment.variants.values() if variant.version is not None]
    if versions and len(versions) < len(experiment.variants):
        yield (*at, "variants"), "give every variant a `version`, or none", ""
    elif len(set(versions)) < len(versions):
        yield (*at, "variants"), "two variants have the same `version`, so that no row tells them apart", ""
    if not versions:
        judged = [kpi for name, kpi in policy.kpis.items() if name in {*experiment.metrics, *experiment.guardrails}]
        for event in sorted({event for kpi in judged if (event := _untold(policy, kpi)) is not None}):
            remedy = f"give each variant a `version`, or map the column that holds it: database.events.{event}.variant"
            yield (*at, "variants"), f"no row of {event!r} tells which variant a customer had", remedy


def _untold(policy: Policy, kpi: Kpi) -> str | None:
    """The event whose rows would have to say a customer's variant, and do not."""
    events = policy.database.events
    if isinstance(kpi, Success):  # payments by themselves: one that fails may have no order, so that no visit is known
        return kpi.of if kpi.of in events and events[kpi.of].variant is None else None
    entries = [name for name, event in events.items() if event.parent is None]
    told = any(events[name].variant is not None for name in entries)
    return None if told or not entries else entries[0]

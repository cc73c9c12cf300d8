"""Names that mean another part of the policy: events, KPIs, variants, alerts.

Each is resolved when the policy is loaded. A name that resolves to nothing would otherwise be found where it is used: a
guardrail that guards nothing, an override that overrides nothing, both silently.
"""

from collections.abc import Iterable, Iterator

from canary.names import ALERTS
from canary.policy.database.section import DEFAULT_EVENTS, LOG_SOURCE
from canary.policy.kpis import Conversion, Kpi, Mean
from canary.policy.model import Policy
from canary.policy.reading.sentences import did_you_mean

At = tuple[str | int, ...]
"""A place in the file, as keys and indices."""

Inconsistency = tuple[At, str, str]
"""Where, what, and what to do there (empty when *what* says it)."""


def unknown_names(policy: Policy) -> Iterator[Inconsistency]:
    """Every name that means nothing, with the nearest that does."""
    yield from _events(policy)
    for name, flag in policy.flags.items():
        for key, variant in (("default", flag.default), ("treatment", flag.treatment)):
            yield from _resolved(("flags", name, key), f"no variant {variant!r}", variant, flag.variants)
    for name, experiment in policy.experiments.items():
        at: At = ("experiments", name)
        control = experiment.control
        yield from _resolved((*at, "control"), f"no variant {control!r}", control, experiment.variants)
        for key, kpis in (("metrics", experiment.metrics), ("guardrails", experiment.guardrails)):
            for kpi in kpis:
                yield from _resolved((*at, key), f"no KPI {kpi!r}", kpi, policy.kpis)
    for kpi in policy.evidence.drift.budgets:
        yield from _resolved(("evidence", "drift", "budgets", kpi), f"no KPI {kpi!r}", kpi, policy.kpis)
    for alert in policy.signals.alerts:
        yield from _resolved(("signals", "alerts", alert), f"no alert {alert!r}", alert, ALERTS)


def _events(policy: Policy) -> Iterator[Inconsistency]:
    events = policy.database.events
    for name, kpi in policy.kpis.items():
        for key, event in _events_of(kpi):
            yield from _resolved(("kpis", name, key), f"no event {event!r} in database.events", event, events)
    # A default event may name another one that no KPI needs, and that is left out.
    parents = {**DEFAULT_EVENTS, **events}
    database = policy.database
    identities = database.identities
    sources = {*database.sources, *([LOG_SOURCE] if database.log is not None else [])}
    places: list[tuple[At, str | None]] = [(("events", name), event.source) for name, event in events.items()]
    places += [(("identities", name), pairs.source) for name, pairs in identities.items()]
    places += [(("assignments",), database.assignments.source)] if database.assignments is not None else []
    for place, source in places:
        if source is not None:
            what = f"no entry {source!r} in database.sources"
            yield from _resolved(("database", *place, "source"), what, source, sources)
    for name, mapping in events.items():
        if (pairs := mapping.identity) is not None:
            yield from _resolved(
                ("database", "events", name, "identity"),
                f"no entry {pairs!r} in database.identities",
                pairs,
                identities,
            )
        for parent in mapping.parent if isinstance(mapping.parent, dict) else ():
            at: At = ("database", "events", name, "parent", parent)
            yield from _resolved(at, f"no event {parent!r} in database.events", parent, parents)


def _resolved(at: At, what: str, name: str, known: Iterable[str]) -> Iterator[Inconsistency]:
    options = sorted(known)
    if name not in options:
        yield at, what, did_you_mean(name, options)


def _events_of(kpi: Kpi) -> Iterator[tuple[str, str]]:
    """The events that a KPI names, by its keys."""
    if isinstance(kpi, Conversion):
        yield from (("from", kpi.from_), ("to", kpi.to))
    else:
        yield "of", kpi.of
        if isinstance(kpi, Mean) and kpi.since is not None:
            yield "since", kpi.since

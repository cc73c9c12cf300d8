"""From a policy file to a `Policy`: every fault at once, each with its line and a remedy.

Three steps, each of which collects all that it finds: the file as YAML (`document`), its values by their types
(`types`), and what relates several keys (`references`, `consistency`). A later step looks only at what the earlier ones
let pass: a key that could not be read relates to nothing.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from canary import names
from canary.errors import Fault, PolicyError
from canary.policy.database.section import DEFAULT_EVENTS, Event
from canary.policy.kpis import DEFAULT_KPIS, Kpi, events_of
from canary.policy.model import Policy
from canary.policy.plans import NORMAL
from canary.policy.reading.consistency import inconsistencies
from canary.policy.reading.document import Document, Location, read_document
from canary.policy.reading.sentences import fault_of, of_another_branch
from canary.policy.schema import adapter
from canary.policy.signals import Signals

_OWN: Final = ("base", "technical")
"""Fields of the policy that are no keys of the file."""

_TOLD: Final = 200
"""More faults than this are counted instead of told: nobody reads them, and hints take time to find."""


def load_policy(path: Path | str) -> Policy:
    """Read, check and complete a policy file.

    Raises:
        PolicyError: with one fault per thing that is wrong, in the file's order.
    """
    document = read_document(Path(path))
    return policy_from(document)


def policy_from(document: Document) -> Policy:
    """The policy that a document describes, with defaults filled in.

    Raises:
        PolicyError: as `load_policy`.
    """
    data = dict(document.data)
    if isinstance(data.get("router"), dict):
        data["router"] = [data["router"]]
    faults = [document.fault((key,), "unknown key") for key in _OWN if key in data]
    try:
        policy = adapter().validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise PolicyError(_ordered(faults + _types(document, error))) from None  # it would print the file's values
    kpis = policy.kpis or DEFAULT_KPIS
    completed = dataclasses.replace(
        policy,
        technical="signals" in document.data,
        signals=_signals(policy),
        base=str(document.path.resolve().parent),
        kpis=kpis,
        phases=policy.plans.get(NORMAL, policy.phases),
        plans={name: phases for name, phases in policy.plans.items() if name != NORMAL},
        database=dataclasses.replace(policy.database, events=_events(policy, kpis, document)),
    )
    if NORMAL in policy.plans and "phases" in data:
        faults.append(document.fault(("plans", NORMAL), "`phases` is this plan already", "say it in one of the two"))
    faults += [
        document.fault(_unwrapped(document, place), what, remedy) for place, what, remedy in inconsistencies(completed)
    ]
    if faults:
        raise PolicyError(_ordered(faults))
    return completed


def _signals(policy: Policy) -> Signals:
    """The signals, where they are what `canary assignments` counts with its own names."""
    signals = policy.signals
    if signals.preset != "log":
        return signals
    return dataclasses.replace(
        signals,
        selector=signals.selector or f'{names.SERVICE}="{policy.service}"',
        requests=names.LOG_REQUESTS_TOTAL,
        duration=names.LOG_REQUEST_DURATION_SECONDS,
        histograms="classic",
        connection_errors="",
        version_label=names.VERSION,
        endpoint_label=names.ENDPOINT,
        status_label=names.STATUS,
    )


def _types(document: Document, error: ValidationError) -> list[Fault]:
    """What the types refuse, of the forms of a value that the file uses."""
    details = error.errors(include_url=False, include_context=True)
    meant = [detail for detail in details if not (of_another_branch(document, detail) or _implied(detail, details))]
    meant = meant or details
    told = [fault_of(document, detail) for detail in meant[:_TOLD]]
    if len(meant) > _TOLD:
        told.append(document.fault((), f"and {len(meant) - _TOLD} faults more"))
    return told


def _implied(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether a list counts as too short only because pydantic leaves out its entries that have faults of their own."""
    loc = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in details
    )


def _ordered(faults: list[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: fault.line)


def _events(policy: Policy, kpis: Mapping[str, Kpi], document: Document) -> dict[str, Event]:
    """The mapped events over the default schema's; who maps events keeps only the defaults that a KPI needs."""
    own = policy.database.events
    if policy.database.assignments is not None or any(
        event.tag for event in own.values()
    ):  # whoever names them says by that where versions come from
        own = {
            name: event
            if ("database", "events", name, "version") in document.lines
            else dataclasses.replace(event, version=None)
            for name, event in own.items()
        }
    needed = {event for kpi in kpis.values() for event in events_of(kpi)}
    return {name: event for name, event in DEFAULT_EVENTS.items() if name in needed} | own


def _unwrapped(document: Document, location: Location) -> Location:
    """The location as the file has it: without the list around a single router, and the plan `normal` in its place."""
    if location[:2] == ("router", 0) and isinstance(document.data.get("router"), dict):
        return ("router", *location[2:])
    if location[:1] == ("phases",) and "phases" not in document.data:
        return ("plans", NORMAL, *location[1:])
    return location

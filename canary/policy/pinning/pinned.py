"""A running rollout's own policy: the newest file's, with everything that decides as it was when the rollout began.

The journal keeps what decides with the entry that began a rollout. A gate or a phase that is inserted into the file
later, another tolerance, a shorter `max_duration` are for the next rollout: they never move what runs. Looked up by
index in the newer file, a phase once went on by itself that had waited for a person.

Where things are and who is told still follows the file, because a rollback needs the router's address of today.
"""

import json
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from canary.errors import JournalError
from canary.policy.model import Policy
from canary.policy.pinning.digest import DECIDING, Data, deciding
from canary.policy.schema import adapter
from canary.policy.values.scalars import BASE_UNITS


def pinned(own: Policy, data: Data) -> Policy:
    """The own policy with what decides taken from *data*, as `canary.policy.pinning.digest.deciding` gives it.

    Raises:
        JournalError: another version has written it, in a way that this one does not read.
    """
    merged = adapter().dump_python(own, mode="json", by_alias=True)
    for section in DECIDING:
        if section not in data:
            continue
        kept = _without_segments(data[section]) if section == "database" else data[section]
        addresses = merged[section] if section in ("database", "signals") else None
        merged[section] = {**addresses, **kept} if isinstance(addresses, dict) and kept else kept
    try:
        policy = adapter().validate_json(json.dumps(merged), strict=True, context=BASE_UNITS)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        what = f"the plan of the rollout is not readable by this version ({'.'.join(map(str, first['loc']))})"
        raise JournalError(what, place="journal", remedy="let the version that began the rollout end it") from None
    return policy


def as_written_now(data: Data) -> Data:
    """The same as this version would write it: keys that stand elsewhere by now are there, and keys that it has learned
    since have the default by which the rollout ran all the time. What this version cannot read stays as it is.
    """
    try:
        read = deciding(pinned(Policy(service="any"), data))
    except JournalError:
        return data
    return {section: read.get(section, value) for section, value in data.items()}


def _without_segments(database: Any) -> Any:
    """The section without a key of events that earlier versions wrote: it stands in the KPIs (`by`)."""
    if not isinstance(database, dict) or not isinstance(database.get("events"), dict):
        return database
    events = {
        name: {key: value for key, value in event.items() if key != "segment"} if isinstance(event, dict) else event
        for name, event in database["events"].items()
    }
    return {**database, "events": events}


def mapped_as(policy: Policy, own: Policy) -> Policy:
    """The policy with the mapping of *own*: the order database is what it is now, whatever it was at the start.

    An event that the own mapping lacks and a KPI of the policy still needs is kept.
    """
    events = {**policy.database.events, **own.database.events}
    return replace(policy, database=replace(own.database, events=events))

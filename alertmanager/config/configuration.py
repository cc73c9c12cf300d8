"""From the policy to `alertmanager.yml`: how alerts reach the receiver at once, and people besides.

What Alertmanager does with each setting is measured in docs/alertmanager.md.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alertmanager.config.freeze import time_intervals
from canary import names
from canary.errors import GenerateError
from canary.mixin.theirs import parts_of, read_theirs, with_access
from canary.mixin.yamltext import dump
from canary.policy import Policy
from canary.policy.servers import whole
from canary.units import format_duration

Section = dict[str, Any]

# Alertmanager gives up a notification after max(group_interval, 10 s); shorter intervals only repeat failures sooner.
_GROUP_INTERVAL = "10s"

# How people are notified what nobody has to hurry for.
_FOR_PEOPLE = {"group_wait": "10s", "group_interval": "1m", "repeat_interval": "4h"}

# With several services and several receivers for people, where alerts go that are of none of them; generated empty.
_OTHERS = "canary-others"

# A drill is nothing to be paged for.
_NO_DRILL = f'alertname!="{names.DRILL}"'

_ALL_OF_OURS = 'alertname=~"Canary.+"'

_URGENT = f'{names.SEVERITY}=~"critical|warning"'


def alertmanager_config(*policies: Policy) -> Section:
    """Alertmanager's configuration of one service, or of several, as data."""
    people = list(dict.fromkeys(map(_people, policies)))
    alone = len(people) == 1
    routes = [route for policy in policies for route in [*_routes(policy), *([] if alone else [_rest_route(policy)])]]
    receivers = [*(people if alone else [_OTHERS, *people]), *map(guard_name, policies)]
    if len(receivers) != len(set(receivers)):
        twice = next(name for name in receivers if receivers.count(name) > 1)
        raise GenerateError(f"two receivers would be called {twice}", remedy="give one of the services another name")
    config: Section = {
        "route": {
            "receiver": people[0] if alone else _OTHERS,
            "group_by": ["alertname", names.SERVICE],
            **_FOR_PEOPLE,
            "routes": routes,
        },
        "inhibit_rules": [rule for policy in policies for rule in _inhibit_rules(policy)],
        "receivers": [*({"name": name} for name in receivers[: -len(policies)]), *map(_webhook, policies)],
    }
    intervals = [interval for policy in policies for interval in time_intervals(policy)]
    return config | ({"time_intervals": intervals} if intervals else {})


def alertmanager_file(*policies: Policy, merge: Path | None = None, removed: Sequence[str] = ()) -> str:
    """The text of `alertmanager.yml`; with *merge*, that file with our parts added or renewed.

    Args:
        removed: services that are no more; what an earlier merge added for them is taken out of *merge*.

    Raises:
        GenerateError: the file to merge into cannot be read, or names would be there twice.
    """
    if merge is None:
        return dump(alertmanager_config(*policies))
    config = read_theirs(merge)
    for service in removed:
        config = _without(config, service)
    for policy in policies:
        config = merged(config, alertmanager_config(policy), policy)
    return dump(config)


def guard_name(policy: Policy) -> str:
    """The name of the receiver that acts; everything that we own in a shared file begins with it."""
    return _guard_name(policy.service)


def _guard_name(service: str) -> str:
    return f"canary-{service}"


def people_name(policy: Policy) -> str:
    """The receiver for people when the policy names none; it is generated empty, to be filled in."""
    return f"{guard_name(policy)}-people"


def _people(policy: Policy) -> str:
    return policy.receiver.people or people_name(policy)


def _routes(policy: Policy) -> list[Section]:
    """Our routes, by what an alert asks for. They stand side by side, so that they fit into anybody's tree."""
    act = partial(_action_route, policy)
    by_rollout = [names.SERVICE, names.ROLLOUT, names.ACTION]

    frozen = [interval["name"] for interval in time_intervals(policy)]
    return [
        # The heartbeat is for the receiver alone.
        act(
            _equals("alertname", names.WATCHDOG),
            ["alertname", names.SERVICE],
            repeat_interval=_heartbeat(policy),
        ),
        act(_equals(names.ACTION, "rollback"), by_rollout, **{"continue": True}),
        act(_equals(names.ACTION, "hold"), by_rollout, **{"continue": True}),
        act(_equals(names.ACTION, "stop"), [names.SERVICE, names.EXPERIMENT, names.ACTION], **{"continue": True}),
        # Nobody needs to read that all is well. A change freeze mutes it, and traffic stays at its weight.
        act(
            _equals(names.ACTION, "advance"),
            [*by_rollout, names.PHASE],
            **({"mute_time_intervals": frozen} if frozen else {}),
        ),
        _people_route(policy),
    ]


def _action_route(policy: Policy, matcher: str, group_by: list[str], **more: Any) -> Section:
    return {
        "matchers": [_equals(names.SERVICE, policy.service), matcher],
        "receiver": guard_name(policy),
        "group_by": group_by,
        # Alertmanager must not collect before it tells: whatever comes first is reason enough.
        "group_wait": "0s",
        "group_interval": _GROUP_INTERVAL,
        "repeat_interval": format_duration(policy.receiver.repeat),
        **more,
    }


def _people_route(policy: Policy) -> Section:
    return {
        "matchers": [_equals(names.SERVICE, policy.service), _URGENT, _NO_DRILL],
        "receiver": _people(policy),
        "group_by": ["alertname", names.SERVICE, names.ROLLOUT, names.EXPERIMENT],
        "group_wait": "0s",
        "group_interval": "1m",
        "repeat_interval": "4h",
    }


def _rest_route(policy: Policy) -> Section:
    """What is not urgent, next to services whose people are others; alone, the root does this."""
    return {
        "matchers": [_equals(names.SERVICE, policy.service), _ALL_OF_OURS, _NO_DRILL],
        "receiver": _people(policy),
        "group_by": ["alertname", names.SERVICE],
        **_FOR_PEOPLE,
    }


def _heartbeat(policy: Policy) -> str:
    """Often enough that two may be lost before the receiver calls it silence."""
    return format_duration(max(10, min(policy.receiver.repeat, policy.receiver.watchdog.timeout / 3)))


def _inhibit_rules(policy: Policy) -> list[Section]:
    service = _equals(names.SERVICE, policy.service)
    relative = f"{names.CONVERSION_DEGRADED}|{names.PAYMENT_SUCCESS_DEGRADED}|{names.KPI_ALERT}"
    return [
        {
            "source_matchers": [service, _equals(names.ACTION, "rollback")],
            "target_matchers": [service, _equals(names.ACTION, "advance")],
            "equal": [names.SERVICE, names.ROLLOUT],
        },
        {
            "source_matchers": [service, _equals(names.ACTION, "hold")],
            "target_matchers": [service, _equals(names.ACTION, "advance")],
            "equal": [names.SERVICE, names.ROLLOUT],
        },
        {
            # Blind comparisons are not to be trusted. Absolute floors stand by themselves and are never inhibited.
            "source_matchers": [service, _equals("alertname", names.BLIND_ALERT), _equals(names.ACTION, "hold")],
            "target_matchers": [service, f'alertname=~"{relative}"', f'{names.LIMIT}!="floor"'],
            "equal": [names.SERVICE, names.ROLLOUT],
        },
    ]


def _webhook(policy: Policy) -> Section:
    receiver = policy.receiver
    webhook: Section = {
        "url": receiver.url.rstrip("/") + names.WEBHOOK_PATH,
        "send_resolved": True,
        "max_alerts": 0,
    }
    if receiver.token_file:
        token = Path(policy.base, receiver.token_file)
        webhook["http_config"] = {"authorization": {"type": "Bearer", "credentials_file": str(token)}}
    if receiver.ca_file:
        webhook.setdefault("http_config", {})["tls_config"] = {"ca_file": whole(policy.base, receiver.ca_file)}
    return {"name": guard_name(policy), "webhook_configs": [webhook]}


def _equals(label: str, value: str) -> str:
    return f'{label}="{value}"'


def merged(theirs: Section, ours: Section, policy: Policy) -> Section:
    """*theirs* with our branch, receiver, inhibitions and time intervals added, or renewed where they were before.

    Nothing else is touched. Our parts are known by the service's name in their matchers together with what only ours
    have, or by their own name: others have routes with that label as well.

    Raises:
        GenerateError: *theirs* has no route, or a section that ours are added to is no list of mappings.
    """
    rest = _without(theirs, policy.service)
    # Without a receiver for people of ours, their own routes tell people, by severity or as they like.
    mine = [part for part in ours["route"]["routes"] if part["receiver"] != people_name(policy)]
    guard = guard_name(policy)
    before = [part for part in parts_of(theirs, "receivers") if part.get("name") == guard]
    renewed = [_renewed(part, before) for part in ours["receivers"] if part["name"] == guard]
    result = {
        **rest,
        # Ours stand first: a route of theirs without `continue` would keep alerts from us.
        "route": {**rest["route"], "routes": [*mine, *rest["route"]["routes"]]},
        "inhibit_rules": [*rest["inhibit_rules"], *ours["inhibit_rules"]],
        "receivers": [*rest["receivers"], *renewed],
    }
    intervals = [*rest.get("time_intervals", []), *ours.get("time_intervals", [])]
    _require_people(policy, theirs, result["receivers"])
    return result | ({"time_intervals": intervals} if intervals else {})


def _renewed(ours: Section, before: Sequence[Section]) -> Section:
    """Our receiver, with what they have added to get in where it was there before.

    Raises:
        GenerateError: what was there is no list of webhooks.
    """
    [webhook] = ours["webhook_configs"]
    there = [hook.get("http_config") for part in before for hook in parts_of(part, "webhook_configs")]
    theirs = next((found for found in there if isinstance(found, dict)), {})
    access = with_access(webhook.get("http_config", {}), theirs)
    return {**ours, "webhook_configs": [{**webhook, **({"http_config": access} if access else {})}]}


def _without(theirs: Section, service: str) -> Section:
    """*theirs* without what was added for a service.

    Raises:
        GenerateError: *theirs* has no route, or a section that ours are added to is no list of mappings.
    """
    route = theirs.get("route")
    if not isinstance(route, dict):
        what = "expected Alertmanager's configuration or Prometheus', found neither `route` nor `scrape_configs`"
        raise GenerateError(what, place="merge")
    guard = _guard_name(service)
    rest = {
        **theirs,
        "route": {**route, "routes": _foreign(route, "routes", partial(_is_our_route, service))},
        "inhibit_rules": _foreign(theirs, "inhibit_rules", partial(_is_our_inhibition, service)),
        "receivers": _foreign(theirs, "receivers", lambda part: part.get("name") == guard),
    }
    if "time_intervals" not in theirs:
        return rest
    return rest | {"time_intervals": _foreign(theirs, "time_intervals", partial(_is_our_interval, service))}


def _is_our_route(service: str, part: Section) -> bool:
    """One to the receiver that acts, or one for people with just our matchers: theirs may spare drills as well."""
    matchers = part.get("matchers") or []
    for_people = [{_equals(names.SERVICE, service), which, _NO_DRILL} for which in (_URGENT, _ALL_OF_OURS)]
    return part.get("receiver") == _guard_name(service) or set(matchers) in for_people


def _is_our_inhibition(service: str, part: Section) -> bool:
    sources = part.get("source_matchers") or []
    return _equals(names.SERVICE, service) in sources and names.ROLLOUT in (part.get("equal") or [])


def _is_our_interval(service: str, part: Section) -> bool:
    """Not every name that begins so: `shop-eu` is another service than `shop`."""
    return re.fullmatch(re.escape(_guard_name(service)) + r"-freeze-\d+", str(part.get("name"))) is not None


def _foreign(theirs: Section, section: str, mine: Callable[[Section], bool]) -> list[Section]:
    return [part for part in parts_of(theirs, section) if not mine(part)]


def _require_people(policy: Policy, theirs: Section, receivers: list[Section]) -> None:
    people = policy.receiver.people
    if people and people not in {part.get("name") for part in receivers}:
        known = ", ".join(str(part.get("name")) for part in theirs.get("receivers") or [])
        raise GenerateError(
            f"expected the name of a receiver in the file to merge into, found {people!r}",
            place="receiver.people",
            remedy=f"known are {known}",
        )

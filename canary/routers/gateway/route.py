"""What an HTTPRoute says about the split, and what it has to say.

Every rule that names both Services is divided. One that is matched by the testers' header is the testers': they get all
of one version or of the other. Everything else in the route stays as whoever wrote it left it. The rollout's salt
chooses nobody here, and stands in an annotation only to tell whose weights these are.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from canary.routers.base import Reading, Split, written_pair
from canary.routers.gateway.section import GatewayRouter

PARTS: Final = 10_000
"""The sum of both weights: hundredths of a percent. The API takes weights up to 1,000,000."""

SALT: Final = "kpi-canary.io/salt"

_TAKEN_OVER: Final = ("Accepted", "ResolvedRefs")
"""Conditions by which a Gateway's controller says that it has a route in force."""


def wanted(section: GatewayRouter, route: Mapping[str, Any], split: Split) -> Mapping[str, Any]:
    """The patch that puts *split* into a route as it was read; refused by the API when the route has changed since."""
    rules = copy.deepcopy(list(route["spec"].get("rules", ())))
    weight = round(split.weight_ratio * PARTS)
    let_in = split.testers_alone or (split.testers and weight > 0)
    for rule in rules:
        own = PARTS * let_in if _is_testers(section, rule) else weight
        for stable, canary in _pair(section, rule):
            for backends, parts in ((stable, PARTS - own), (canary, own)):
                for index, backend in enumerate(backends):
                    backend["weight"] = 0 if index else parts
    metadata = {"resourceVersion": route["metadata"]["resourceVersion"], "annotations": {SALT: str(split.salt)}}
    return {"metadata": metadata, "spec": {"rules": rules}}


def reading(section: GatewayRouter, route: Mapping[str, Any], instance: str) -> Reading:
    """What a route has in force, as far as its controller says.

    Raises:
        ValueError: no rule divides between the two Services, or two divide differently.
        KeyError: it is no HTTPRoute.
    """
    metadata = route["metadata"]
    if waiting := _waiting(route):
        return Reading(instance, None, error=waiting)
    weights = {_ratio(*pair) for rule in divided(section, route) for pair in _pair(section, rule)}
    testers = {_ratio(*pair) for rule in testers_rules(section, route) for pair in _pair(section, rule)}
    if len(weights) != 1 or len(testers) > 1:
        raise ValueError(f"rules with both Services have {len(weights)} different weights, expected one")
    weight, let_in = weights.pop(), bool(testers) and testers != {0.0}
    salt = str(metadata.get("annotations", {}).get(SALT, ""))
    return Reading(
        instance,
        weight,
        salt=int(salt) if salt.isdecimal() else None,
        testers=let_in and weight > 0 if section.testers.header else None,
        testers_alone=let_in and not weight,
        process=str(metadata["uid"]) if salt else "",
        closed=salt.isdecimal() and not (weight or let_in),
    )


def divided(section: GatewayRouter, route: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rules that divide customers."""
    return [rule for rule in _rules(section, route) if not _is_testers(section, rule)]


def testers_rules(section: GatewayRouter, route: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rules that are the testers'."""
    return [rule for rule in _rules(section, route) if _is_testers(section, rule)]


def example(section: GatewayRouter) -> list[Mapping[str, Any]]:
    """A route to begin with, and the right to change it."""
    metadata = {"name": section.route, "namespace": section.namespace}
    backends = [
        {"name": section.stable, "port": 80, "weight": PARTS},
        {"name": section.canary, "port": 80, "weight": 0},
    ]
    rules: list[Mapping[str, Any]] = [{"backendRefs": backends}]
    if section.testers.header:
        name, value = written_pair(section.name, "header", section.testers.header)
        match = {"headers": [{"type": "Exact", "name": name, "value": value}]}
        rules.insert(0, {"matches": [match], "backendRefs": copy.deepcopy(backends)})
    group = "gateway.networking.k8s.io"
    grant = {"apiGroups": [group], "resources": ["httproutes"], "resourceNames": [section.route]}
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": {"parentRefs": [{"name": "shop"}], "rules": rules},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {**metadata, "name": "kpi-canary"},
            "rules": [{**grant, "verbs": ["get", "patch"]}],
        },
    ]


def _rules(section: GatewayRouter, route: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for rule in route["spec"].get("rules", ()):
        if any(_pair(section, rule)):
            yield rule


def _pair(section: GatewayRouter, rule: Mapping[str, Any]) -> Iterator[tuple[list[Any], list[Any]]]:
    """The two Services of a rule, when it names both; each as often as it does, which may be once for each port."""
    backends = rule.get("backendRefs", ())
    stable, canary = ([one for one in backends if one["name"] == name] for name in (section.stable, section.canary))
    if stable and canary:
        yield stable, canary


def _is_testers(section: GatewayRouter, rule: Mapping[str, Any]) -> bool:
    if not section.testers.header:
        return False
    name, value = written_pair(section.name, "header", section.testers.header)
    matches = rule.get("matches", ())
    return bool(matches) and all(
        any(
            header["name"].lower() == name.lower()
            and header["value"] == value
            and header.get("type") in (None, "Exact")
            for header in match.get("headers", ())
        )
        for match in matches
    )


def _ratio(stable: Sequence[Any], canary: Sequence[Any]) -> float:
    """The canary's part; a weight that is missing is 1, as the API has it."""
    of_stable, of_canary = ([int(one.get("weight", 1)) for one in backends] for backends in (stable, canary))
    if (least := min(of_stable + of_canary)) < 0:
        raise ValueError(f"a weight is {least}, expected 0 or more")
    if not sum(of_stable + of_canary):
        raise ValueError("both weights are 0: the Gateway answers everybody with an error")
    return sum(of_canary) / sum(of_stable + of_canary)


def _waiting(route: Mapping[str, Any]) -> str:
    """Why the route as it is read is not yet what the Gateway does; empty when it is."""
    generation = route["metadata"]["generation"]
    parents = route.get("status", {}).get("parents", ())
    if not parents:
        return "no Gateway has taken the route"
    for parent in parents:
        conditions = {condition["type"]: condition for condition in parent.get("conditions", ())}
        for kind in _TAKEN_OVER:
            condition = conditions.get(kind, {})
            if condition.get("observedGeneration", 0) < generation:
                return "the Gateway's controller has not taken over the last change"
            if condition.get("status") != "True":
                return f"the Gateway says {kind}={condition.get('status')} ({condition.get('reason', 'no reason')})"
    return ""

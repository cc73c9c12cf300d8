"""One `_config` of dashboards for several services, which the variable `service` tells apart.

Grafana keeps one dashboard under one id, and people know one page by heart: so a set for each service is no answer.
What services have in common is drawn once, what only one has (a KPI, an experiment) has its panel, which is empty for
the others. Where they differ in a number, no line is drawn and the text names both; where their own series are named
differently, each query is asked for the services it is right for (`grafana/lib/variants.libsonnet`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from canary.mixin.config import dashboards_config
from canary.policy import Policy
from canary.units import parse_duration

_Data = dict[str, Any]

# Where selectors name the service, the variable stands in its place, and the services need no queries of their own.
_SELECTORS = ("selector", "nodeSelector", "processSelector")

# What no query of a dashboard has in it.
_OF_RULES = {"window", "longWindow", "ladder", "memoryLimitBytes"}


def dashboards_of(policies: Sequence[Policy]) -> _Data:
    """What the dashboards' half needs to know of several services; of one, the same as it is alone."""
    configs = [dashboards_config(policy) for policy in policies]
    if len(configs) == 1:
        return configs[0]
    signals = _signals(policies, configs)
    return {
        **configs[0],
        "kpis": _by("name", (kpi for config in configs for kpi in config["kpis"]), _same_kpi),
        "counters": _by("metric", (one for config in configs for one in config["counters"]), _either("headline")),
        "revenue": any(config["revenue"] for config in configs),
        "log": any(config["log"] for config in configs),
        "experiments": _by("name", (one for config in configs for one in config["experiments"]), _same_experiment),
        "signals": {**signals[0], "window": _texts(config["signals"]["window"] for config in configs)},
        "others": signals[1:],
        "limits": {name: _line([config["limits"].get(name) for config in configs]) for name in _keys(configs)},
        "window": _texts(config["window"] for config in configs),
        "step": max((config["step"] for config in configs), key=parse_duration),
        "rateStep": max((config["rateStep"] for config in configs), key=parse_duration),
    }


def _keys(configs: Iterable[_Data]) -> list[str]:
    return list(dict.fromkeys(name for config in configs for name in config["limits"]))


def _texts(texts: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(texts))


def _by(key: str, entries: Iterable[_Data], same: Callable[[_Data, _Data], _Data]) -> list[_Data]:
    """Each once, in the order of their first appearance; *same* brings two of one name together."""
    found: dict[str, _Data] = {}
    for entry in entries:
        known = found.get(entry[key])
        found[entry[key]] = entry if known is None else {**known, **same(known, entry)}
    return list(found.values())


def _either(*keys: str) -> Callable[[_Data, _Data], _Data]:
    return lambda one, other: {key: one[key] or other[key] for key in keys}


def _same_kpi(one: _Data, other: _Data) -> _Data:
    """Drawn as wide as the more tolerant service needs."""
    wide = max(one, other, key=lambda kpi: kpi["shown"])
    return {
        "tolerance": _texts([*one["tolerance"].split(" or "), other["tolerance"]]),
        **{key: wide[key] for key in ("shown", "cut", "cutText")},
        **_either("note", "judged", "segmented", "currency")(one, other),
    }


def _same_experiment(one: _Data, other: _Data) -> _Data:
    return {
        **{key: list(dict.fromkeys([*one[key], *other[key]])) for key in ("treatments", "kpis")},
        **_either("guarded", "compared")(one, other),
    }


def _line(lines: Sequence[_Data | None]) -> _Data | None:
    """A limit as a line: where services differ it has a text and no value, and is not drawn."""
    given = [line for line in lines if line is not None]
    if not given:
        return None
    same = all(line["value"] == given[0]["value"] for line in given)
    return {"value": given[0]["value"] if same else None, "text": _texts(line["text"] for line in given)}


def _signals(policies: Sequence[Policy], configs: Sequence[_Data]) -> list[_Data]:
    """The different ways in which the services' own series are named, each with whose it is.

    The application's come first: panels by endpoint are there when the first has any, which HAProxy's have not.
    """
    ways: list[tuple[_Data, list[str]]] = []
    for policy, config in zip(policies, configs, strict=True):
        named = _named(config["signals"], policy.service)
        known = next((services for way, services in ways if way == named), None)
        if known is None:
            ways.append((named, [policy.service]))
        else:
            known.append(policy.service)
    ways.sort(key=lambda way: way[0]["preset"] == "haproxy")
    if len(ways) == 1:
        return [ways[0][0]]
    return [{**way, "services": "|".join(map(_escaped, services))} for way, services in ways]


def _named(signals: Mapping[str, Any], service: str) -> _Data:
    """Without what only rules read, and with the variable in the place of the service's name."""
    kept = {key: value for key, value in signals.items() if key not in _OF_RULES}
    for key in _SELECTORS:
        kept[key] = re.sub(rf'(?<=="){re.escape(service)}(?=["-])', "$service", kept[key])
    return kept


def _escaped(service: str) -> str:
    return re.sub(r"[.+]", r"[\g<0>]", service)

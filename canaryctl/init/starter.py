"""The first policy of a shop as commented text, from what was found in its order database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from canary.policy.kpis import DEFAULT_KPIS, Conversion, Mean, Success
from canary.units import format_ratio
from canaryctl.init.proposal import Proposed


@dataclass(frozen=True)
class Start:
    """What `canary init` knows.

    Attributes:
        url: the order database, without a password.
        mapping: the text below `database:` that says where the events are.
        origin: where the mapping comes from, for a comment.
        kpis: those of the strategy's six that can be measured.
        password_file: the file that holds the password, when there is one.
        timezone: zone of the shop's times.
        selector: label matchers of the shop's own series; empty when it has none yet.
        router: a kind that `ROUTERS` has, or `none`.
    """

    service: str
    url: str
    mapping: str
    origin: str
    kpis: Sequence[str]
    router: str = "none"
    password_file: str | None = None
    timezone: str = "UTC"
    selector: str = ""


def starter(start: Start) -> str:
    """A policy that `canary check --offline` accepts, every section with a word on what it is for."""
    sections = [
        _HEAD,
        f"service: {_scalar(start.service)}",
        "state:\n  url: sqlite:///state.db            # the rollout's journal; PostgreSQL for several receivers",
        _database(start),
        _kpis(start.kpis),
        _signals(start.selector),
        _PHASES,
        ROUTERS.get(start.router, _NO_ROUTER),
        _receiver(start.timezone),
        "# notify:\n#   urls_file: secrets/notify-urls   # one apprise URL a line: Slack, e-mail, ...",
    ]
    return "\n\n".join(sections) + "\n"


SCHEMA_FILE: Final = "policy.schema.json"
"""The policy's JSON schema, next to the policy; `canary init` writes it."""

SCHEMA_LINE: Final = f"# yaml-language-server: $schema={SCHEMA_FILE}"
"""By this first line editors find it."""

_HEAD = f"""\
{SCHEMA_LINE}
# The canary policy of this shop: what is measured, when a canary is rolled back, how it is released.
# Written by `canary init`; yours to change. `canary check` validates it and everything it names.
# Every key and its default: docs/reference-policy.md."""

_SIGNALS = """\
# The technical side: the names of the shop's own series, which carry the version as a label."""

_NO_SIGNALS = (
    _SIGNALS
    + """ As soon as your shop has
# them: without this section the KPIs alone decide, and with it a rollout is held while they are missing."""
)

_SIGNAL_KEYS = """\
signals:
  selector: {selector}   # which series are this shop's, and not another application's
  requests: http_requests_total
  duration: http_request_duration_seconds
  version_label: version
  critical: {{error_rate: 10%, response_time: 10s}}   # rolls back
  warning: {{error_rate: 5%, response_time: 5s}}      # tells people"""


def _signals(selector: str) -> str:
    if selector:
        return f"{_SIGNALS}\n{_SIGNAL_KEYS.format(selector=_scalar(selector))}"
    lines = _SIGNAL_KEYS.format(selector="""'job="shop"'""").splitlines()
    return "\n".join([_NO_SIGNALS, *(f"# {line}" for line in lines)])


_PHASES = """\
# The canary's traffic weight, and how long it lasts at least.
phases:
  - {traffic: 5%, duration: 5m}
  - {traffic: 25%, duration: 15m}
  - {traffic: 50%, duration: 20m}
  - {traffic: 100%, duration: 30m}   # the old version stays warm until this is over"""

_RECEIVER = """\
receiver:
  token_file: secrets/webhook-token   # openssl rand -hex 32 > secrets/webhook-token
  operator_token_file: secrets/operator-token
  prometheus: http://127.0.0.1:9090
  alertmanager: http://127.0.0.1:9093"""


def _receiver(zone: str) -> str:
    """The section; the zone of the shop's rows is taken for that of its people, unless it is UTC, as in many."""
    line = f"  timezone: {_scalar(zone)}" if zone != "UTC" else "  # timezone: Europe/Berlin"
    return f"{_RECEIVER}\n{line}   # in which page, messages and commands tell times, with UTC next to it"


_NO_ROUTER = (
    "# Without a router nothing can be rolled back: docs/routers-other.md compares them.\n# router: {kind: haproxy}"
)

_UPSTREAMS = """\
  sticky: cookie                     # who a customer is: the cookie `user_id`, set where it is missing
  key: user_id
  upstreams:                         # where the two versions listen
    stable: ["127.0.0.1:8001"]
    canary: ["127.0.0.1:8002"]"""

ROUTERS = {
    "haproxy": """\
router:                              # docs/routers-haproxy.md
  kind: haproxy
  sockets: [/run/haproxy/canary.sock]
  map: /etc/haproxy/canary.map
  # user: haproxy                    # whom HAProxy becomes when root starts it by the generated file
  listen: "127.0.0.1:8080"
"""
    + _UPSTREAMS,
    "nginx": """\
router:                              # docs/routers-nginx.md
  kind: nginx
  directories: [/run/kpi-canary/nginx]
  listen: "127.0.0.1:8080"
"""
    + _UPSTREAMS,
    "envoy": """\
router:                              # docs/routers-envoy.md
  kind: envoy
  admins: [/run/envoy/admin.sock]
  listen: "127.0.0.1:8080"
"""
    + _UPSTREAMS,
    "traefik": """\
router:                              # docs/routers-traefik.md: it must see the customers' own addresses
  kind: traefik
  file: /etc/traefik/dynamic/canary.yml
  apis: ["http://127.0.0.1:8081"]
  listen: "127.0.0.1:8080"
  upstreams:                         # where the two versions listen
    stable: ["127.0.0.1:8001"]
    canary: ["127.0.0.1:8002"]""",
    "gateway": """\
router:                              # docs/routers-gateway.md: drawn for each request, not for each customer
  kind: gateway
  namespace: default
  route: shop                        # the HTTPRoute, and the Services that it divides between
  stable: shop-stable
  canary: shop-canary""",
    "command": """\
router:                              # docs/routers-other.md
  kind: command
  set: [/usr/local/bin/set-canary-weight]    # gets the split as JSON on standard input
  read: [/usr/local/bin/get-canary-weight]   # prints {"weight": 0.05}""",
}


def _database(start: Start) -> str:
    lines = ["database:", f"  url: {_scalar(start.url)}   # only read"]
    if start.password_file:
        lines.append(f"  password_file: {_scalar(start.password_file)}")
    lines.append(f"  timezone: {_scalar(start.timezone)}   # of times that are stored without one")
    lines.append("  window: 1h                         # the published KPIs cover this much")
    lines.append(f"  # {start.origin}")
    lines += [f"  {line}".rstrip() for line in start.mapping.rstrip().splitlines()]
    if "version: null" in start.mapping:
        lines += _ASSIGNMENTS
    return "\n".join(lines)


_ASSIGNMENTS = (
    "  # No column says which version of the shop wrote a row. Until something does, `canary plan` works, and no",
    "  # rollout can be judged. A table that says which unit was served by which version (docs/your-database.md):",
    "  # assignments: {table: assignments, unit: unit, time: time, version: version}",
)


def mapping_of(proposed: Sequence[Proposed]) -> str:
    """The text below `database:` for proposed events."""
    return "\n".join(["events:", *(line for one in proposed for line in _event(one))])


def _event(one: Proposed) -> list[str]:
    lines = [f"  {one.event}:", f"    table: {_scalar(one.table)}"]
    for key, value in one.keys.items():
        if isinstance(value, Mapping):
            pairs = ", ".join(f"{name}: {_listed(item)}" for name, item in value.items())
            lines.append(f"    {key}: {{{pairs}}}")
        else:
            lines.append(f"    {key}: {'null' if value is None else _listed(value)}")
    return lines


def _listed(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_scalar(str(item)) for item in value)}]"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    """Text as YAML writes it, quoted where it must be."""
    return yaml.safe_dump(text, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


_MEANINGS = {
    "conversion_rate": "orders / visits",
    "average_order_value": "revenue / orders; heavy-tailed, so it holds rather than rolls back",
    "cart_abandonment_rate": "(carts - orders) / carts",
    "payment_success_rate": "successful payments / all payments",
    "checkout_completion_rate": "orders / checkouts",
    "customer_satisfaction": "feedback scores",
}
_EARLIER_STEPS = {"cart_abandonment_rate": "add_to_cart_rate", "checkout_completion_rate": "checkout_start_rate"}
"""What may be judged besides where a KPI of the strategy begins with that step."""


def _kpis(names: Sequence[str]) -> str:
    lines = [
        "# What is measured, and what a proven harm leads to: `rollback`, `hold` or `warn`.",
        "# `tolerance` is the relative fall against the old version that counts as harm.",
        "kpis:",
    ]
    for name in names:
        kpi = DEFAULT_KPIS[name]
        lines.append(f"  {name}:   # {_MEANINGS[name]}")
        lines.append(f"    kind: {kpi.kind}")
        match kpi:
            case Conversion():
                lines += [f"    from: {kpi.from_}", f"    to: {kpi.to}"]
                lines += ["    complement: true"] if kpi.complement else []
            case Success() | Mean():
                lines.append(f"    of: {kpi.of}")
        lines.append(f"    tolerance: {format_ratio(kpi.tolerance)}")
        lines += [f"    floor: {format_ratio(kpi.floor)}"] if kpi.floor is not None else []
        lines += [f"    target: {format_ratio(kpi.target)}"] if kpi.target is not None else []
        lines.append(f"    action: {kpi.action}")
    return "\n".join([*lines, *_earlier_steps(names)])


def _earlier_steps(names: Sequence[str]) -> list[str]:
    """Proposals, left out until somebody wants them: KPIs that roll back share alpha."""
    if "conversion_rate" not in names:
        return []
    entry = DEFAULT_KPIS["conversion_rate"]
    assert isinstance(entry, Conversion)
    steps = [
        f"  # {name}: {{kind: conversion, from: {entry.from_}, to: {later.from_}, tolerance: 10%, action: rollback}}"
        for of, name in _EARLIER_STEPS.items()
        if of in names and isinstance(later := DEFAULT_KPIS[of], Conversion)
    ]
    why = [
        "  # Earlier steps of the way to an order happen more often: half of them lost is found within minutes, where",
        "  # orders are so few that it shows much later, or not within a rollout. Remove the # to roll back by them:",
    ]
    return [*why, *steps] if steps else []

"""Whose request it is, and where it goes: Envoy's filters and routes, whose weights are runtime values.

Every request is told apart by a header of our own name, which replaces what a client sends under it. A visitor without
a cookie is known by an id made for the request, which becomes the cookie: Envoy's own generated cookie is a hash of the
connection's addresses, the same for all newcomers who come through one balancer.

What may have had an effect is never sent twice: a request is repeated only where no byte of it can have been read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from canary.routers import robots
from canary.routers.base import TESTER_HEADER, USER_HEADER, written_pair
from canary.routers.envoy.ring import CLUSTERS, Arc
from canary.routers.envoy.section import EnvoyRouter
from canary.routers.metrics import PATH, receiver_of

PREFIX: Final = "canary"
"""What the runtime values' names begin with."""

SALT: Final = f"{PREFIX}.salt"
TESTERS: Final = f"{PREFIX}.testers"
"""100 while testers are let in: Envoy takes it for a percentage."""

EVERYBODY: Final = f"{PREFIX}.everybody"
"""100 while all customers are on the canary, and what no customer asks for too."""

_NETWORK_HEADER: Final = "X-Canary-Network"
_INSIDE: Final = "inside"

# What robots are known by, in one header, so that one expression finds them.
_ASKED_HEADER: Final = "X-Canary-Asked"
_ASKED: Final = "|".join(f"%REQ({name})%" for name in (":METHOD", *robots.PURPOSES, "USER-AGENT"))
_ROBOTS: Final = rf"(?i)OPTIONS\|.*|.*{robots.PREFETCH}.*|.*({robots.USER_AGENTS}).*"

# A browser keeps no cookie for longer than about a year.
_COOKIE_SECONDS: Final = 31_536_000

_API: Final = "type.googleapis.com/envoy"


METRICS: Final = "canary-receiver"
"""The cluster that answers testers' networks at `/api/metrics`."""


def weight_key(cluster: str) -> str:
    """The runtime value that is a cluster's weight."""
    return f"{PREFIX}.{cluster}"


def typed(kind: str, **keys: Any) -> Mapping[str, Any]:
    """One of Envoy's extensions, as its configuration writes it."""
    return {"@type": f"{_API}.{kind}", **keys}


_RETRIES: Final = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 3,
    "retry_priority": {
        "name": "envoy.retry_priorities.previous_priorities",
        "typed_config": typed(
            "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=1
        ),
    },
}


def belongings(section: EnvoyRouter) -> Mapping[str, Any]:
    """The connection manager's keys that say whose a request is, and which version gets it.

    Raises:
        RouterError: the policy names testers by something that is no pair.
    """
    return {
        "early_header_mutation_extensions": [_user(section)],
        "http_filters": [
            *_cookie(section),
            *_networks(section),
            _filter("router.v3.Router", "envoy.filters.http.router"),
        ],
        "route_config": {
            "name": "shop",
            "virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": _routes(section)}],
        },
    }


def _filter(kind: str, name: str, **keys: Any) -> Mapping[str, Any]:
    return {"name": name, "typed_config": typed(f"extensions.filters.http.{kind}", **keys)}


def _user(section: EnvoyRouter) -> Mapping[str, Any]:
    """Says whose request it is, before a route is chosen."""
    address = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    mutations: list[Any] = [{"remove": name} for name in (USER_HEADER, TESTER_HEADER, _NETWORK_HEADER)]
    mutations.append(_set(_ASKED_HEADER, _ASKED))
    if section.sticky == "cookie":
        # A newcomer's; who has the cookie is told by it later.
        mutations += [_set(USER_HEADER, "%UNIQUE_ID%")]
    elif section.sticky == "header":
        mutations += [_set(USER_HEADER, f"%REQ({section.key})%"), _set(USER_HEADER, address, "ADD_IF_ABSENT")]
    else:
        mutations += [_set(USER_HEADER, address)]
    kind = "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return {"name": "canary-user", "typed_config": typed(kind, mutations=mutations)}


def _set(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Mapping[str, Any]:
    return {"append": _header(name, value, action)}


def _header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Mapping[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


def _cookie(section: EnvoyRouter) -> Iterator[Mapping[str, Any]]:
    """Reads the user's cookie, for the header that tells the shop."""
    if section.sticky == "cookie":
        found = {"metadata_namespace": PREFIX, "key": "user", "type": "STRING"}
        rules = [{"cookie": section.key, "on_header_present": found, "remove": False}]
        kind = "header_to_metadata.v3.Config"
        yield _filter(kind, "envoy.filters.http.header_to_metadata", request_rules=rules)


def _networks(section: EnvoyRouter) -> Iterator[Mapping[str, Any]]:
    """Marks who comes from a tester's network; the filter has the route chosen anew."""
    if not section.testers.networks:
        return
    ranges = []
    for network in section.testers.networks:
        prefix, _, length = network.partition("/")
        ranges.append({"address_prefix": prefix, "prefix_len": int(length or (128 if ":" in prefix else 32))})
    yield _filter(
        "ip_tagging.v3.IPTagging",
        "envoy.filters.http.ip_tagging",
        request_type="BOTH",
        ip_tags=[{"ip_tag_name": _INSIDE, "ip_list": ranges}],
        ip_tag_header={"header": _NETWORK_HEADER, "action": "SANITIZE"},
    )


@dataclass(frozen=True)
class _Visitor:
    """A kind of visitor: known users, or newcomers; told apart by matchers of headers."""

    hashed: Mapping[str, Any]
    matchers: tuple[Mapping[str, Any], ...] = ()
    request_headers: tuple[Mapping[str, Any], ...] = ()
    response_headers: tuple[Mapping[str, Any], ...] = ()


def _visitors(section: EnvoyRouter) -> tuple[_Visitor, ...]:
    if section.sticky != "cookie":
        return (_Visitor({"header": {"header_name": USER_HEADER}}),)
    known = {
        "name": "cookie",
        "string_match": {"safe_regex": {"regex": f"(.*; *)?{_quoted(section.key)}=[^;]+(;.*)?"}},
        "treat_missing_header_as_empty": True,
    }
    cookie = f"{section.key}=%REQ({USER_HEADER})%; Path=/; Max-Age={_COOKIE_SECONDS}; SameSite=Lax"
    return (
        _Visitor(
            {"cookie": {"name": section.key}},
            matchers=(known,),
            request_headers=(_header(USER_HEADER, f"%DYNAMIC_METADATA({PREFIX}:user)%"),),
        ),
        _Visitor(
            {"header": {"header_name": USER_HEADER}},
            matchers=({**known, "invert_match": True},),
            response_headers=(_header("Set-Cookie", cookie, "APPEND_IF_EXISTS_OR_ADD"),),
        ),
    )


def _routes(section: EnvoyRouter) -> list[Mapping[str, Any]]:
    visitors = _visitors(section)
    return [
        *_metrics(section),
        *(_nobody(match, everybody) for match in _named(section) for everybody in (True, False)),
        *(_tester(sign, visitor) for sign in _signs(section) for visitor in visitors),
        *(_nobody(_robots(visitor), everybody) for visitor in visitors[1:] for everybody in (True, False)),
        *(_split(visitor) for visitor in visitors),
    ]


def _metrics(section: EnvoyRouter) -> Iterator[Mapping[str, Any]]:
    """The route of testers' networks to the receiver's figures, which tells it who asks, whatever the question says."""
    asked = receiver_of(section.testers, section.name)
    if asked is None:
        return
    inside = {"name": _NETWORK_HEADER, "string_match": {"exact": _INSIDE}}
    address = _header("X-Forwarded-For", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")
    yield {
        "match": {"path": PATH, "headers": [inside]},
        "route": {"cluster": METRICS, "regex_rewrite": _whole(asked.path), "host_rewrite_literal": asked.address},
        "request_headers_to_add": [address],
        "request_headers_to_remove": [_NETWORK_HEADER, _ASKED_HEADER, USER_HEADER],
    }


def _whole(path: str) -> Mapping[str, Any]:
    """Another path for the one that was asked for."""
    return {"pattern": {"regex": "^[^?]*"}, "substitution": path}


def _named(section: EnvoyRouter) -> Iterator[Mapping[str, Any]]:
    """What the policy names as no customer's."""
    for path in section.without_customer.paths:
        yield {"prefix": path}
    for name in section.without_customer.headers:
        yield {"prefix": "/", "headers": [{"name": name, "present_match": True}]}


def _robots(newcomer: "_Visitor") -> Mapping[str, Any]:
    """Newcomers who are not to become customers."""
    asked = {"name": _ASKED_HEADER, "string_match": {"safe_regex": {"regex": _ROBOTS}}}
    return {"prefix": "/", "headers": [*newcomer.matchers, asked]}


def _nobody(match: Mapping[str, Any], everybody: bool) -> Mapping[str, Any]:
    """The routes of what no customer asks for: to the canary with everybody, else to stable."""
    route = _route(match, {"cluster": "stable-a"}, _Visitor({}))
    if everybody:
        route = _route({**match, "runtime_fraction": _while(EVERYBODY)}, {"cluster": "canary-a"}, _Visitor({}))
    return {**route, "request_headers_to_remove": [*route["request_headers_to_remove"], USER_HEADER]}


def _while(key: str) -> Mapping[str, Any]:
    """As long as a runtime value is 100."""
    return {"default_value": {"numerator": 0, "denominator": "HUNDRED"}, "runtime_key": key}


def _signs(section: EnvoyRouter) -> Iterator[Mapping[str, Any]]:
    """What testers are known by, as matchers of headers."""
    testers = section.testers
    if testers.networks:
        yield {"name": _NETWORK_HEADER, "string_match": {"exact": _INSIDE}}
    if testers.header:
        name, value = written_pair(section.name, "header", testers.header)
        yield {"name": name, "string_match": {"exact": value}}
    if testers.cookie:
        name, value = written_pair(section.name, "cookie", testers.cookie)
        pattern = f"(.*; *)?{_quoted(name)}={_quoted(value)}( *;.*)?"
        yield {"name": "cookie", "string_match": {"safe_regex": {"regex": pattern}}}


def _quoted(text: str) -> str:
    """A text for RE2, in which every character means itself."""
    return "".join(letter if letter.isalnum() else f"\\x{{{ord(letter):x}}}" for letter in text)


def _tester(sign: Mapping[str, Any], visitor: _Visitor) -> Mapping[str, Any]:
    """The route of testers that one sign tells, while they are let in."""
    match = {"prefix": "/", "headers": [sign, *visitor.matchers], "runtime_fraction": _while(TESTERS)}
    return _route(match, {"cluster": "canary-a"}, visitor, _header(TESTER_HEADER, "1"))


def _split(visitor: _Visitor) -> Mapping[str, Any]:
    """The route of everybody else."""
    weights = Arc(0, 0).weights
    clusters = {
        "clusters": [{"name": name, "weight": weights[name]} for name in CLUSTERS],
        "runtime_key_prefix": PREFIX,
        "use_hash_policy": True,
    }
    match = {"prefix": "/", "headers": [*visitor.matchers]}
    return _route(match, {"weighted_clusters": clusters, "hash_policy": [visitor.hashed]}, visitor)


def _route(
    match: Mapping[str, Any], action: Mapping[str, Any], visitor: _Visitor, *told: Mapping[str, Any]
) -> Mapping[str, Any]:
    return {
        "match": match,
        # No limit for an answer, only for a pause in it: downloads and websockets last.
        "route": {**action, "timeout": "0s", "idle_timeout": "60s", "retry_policy": _RETRIES},
        "request_headers_to_add": [*visitor.request_headers, *told],
        "request_headers_to_remove": [_NETWORK_HEADER, _ASKED_HEADER],
        "response_headers_to_add": [*visitor.response_headers],
    }

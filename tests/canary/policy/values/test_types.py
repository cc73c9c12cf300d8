"""Constrained types: what would disarm the guard is refused, and the JSON schema says the same as the loader."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from canary.errors import PolicyError
from canary.policy import load_policy
from canary.policy.schema import policy_schema
from canary.policy.values import types
from canary.units import parse_duration, parse_ratio, parse_size

if TYPE_CHECKING:
    from jsonschema import ValidationError as Misfit

ROOT = Path(__file__).resolve().parents[4]

TYPES: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(getattr(types, name))
    for name in (
        "Seconds", "PositiveSeconds", "Interval", "Scrape", "Look", "Timeout", "RouterTimeout", "Patience",
        "PositivePatience", "Lateness", "Ratio", "PositiveRatio", "OpenRatio", "ShareLimit", "Alpha", "Weight",
        "Count", "PositiveCount", "Threshold", "Finite", "Factor", "Proportion", "Bytes", "BodyLimit", "Text", "Name",
        "Identifier", "LabelName", "MetricName", "EnvironmentName", "ProcessName", "RequestKey", "Argv", "HttpUrl",
        "Link", "HostPort", "Upstream", "ListenAddress", "SocketAddress", "Network", "HeaderPair", "CookiePair",
        "DatabaseUrl", "Selector", "ShortFreeze", "TimeZone", "ClockTime", "Weekdays",
        "MonthDays", "Months", "Years",
    )
}  # fmt: skip
CHECKED = {
    "HttpUrl",
    "HostPort",
    "Upstream",
    "ListenAddress",
    "Network",
    "ShortFreeze",
    "TimeZone",
    "Weekdays",
    "MonthDays",
    "Months",
    "Years",
}
"""Types with a check that no pattern can say: there the schema may accept what the loader refuses, not the reverse."""

_PARSERS = {"duration": parse_duration, "percentage": parse_ratio, "size": parse_size}


def accepts(adapter: TypeAdapter[Any], value: object) -> bool:
    """Whether the loader takes the value."""
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


Fits = Callable[[float, float], bool]


def _bound(fits: Fits) -> Any:
    """A keyword that bounds a quantity written as text."""

    def check(_validator: object, limit: str, value: object, schema: dict[str, Any]) -> Iterator["Misfit"]:
        import jsonschema

        parse = _PARSERS[schema["x-quantity"]]
        try:
            inside = not isinstance(value, str) or fits(parse(value), parse(limit))
        except ValueError:
            inside = False
        if not inside:
            yield jsonschema.ValidationError(f"{value} is out of bounds: {limit}")

    return check


@pytest.fixture(scope="module")
def validator() -> Any:
    """What holds values against a schema of ours; its library takes seconds to import, which not every worker needs."""
    import jsonschema

    return jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # its stubs leave it out
        jsonschema.Draft202012Validator,
        {
            "x-at-least": _bound(lambda value, limit: value >= limit),
            "x-above": _bound(lambda value, limit: value > limit),
            "x-at-most": _bound(lambda value, limit: value <= limit),
            "x-below": _bound(lambda value, limit: value < limit),
        },
    )


@pytest.fixture(scope="module")
def validators(validator: Any) -> dict[str, Any]:
    """Each type's schema, ready to be asked."""
    return {name: validator(adapter.json_schema()) for name, adapter in TYPES.items()}


QUANTITIES = st.builds(
    "{}{}".format,
    st.sampled_from(
        ["0", "1", "5", "0.0001", "99.99", "100", "3661", "0.5", "9" * 30, "-1", "1e3", "\u0663", "", "inf"]
    ),
    st.sampled_from(["", "ms", "s", "m", "h", "d", "w", "%", " %", "B", "KiB", "MiB", "GB", "s5m", "TB", "x"]),
)
NUMBERS = (
    st.integers(-3, 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0, 1, 0.5, 1e-7, 1e-4])
)
_WORDS = """
http:// https:// ftp:// tcp: unix: /run/x.sock a.example 127.0.0.1 256.1.1.1 [::1] [::1 ::1 : 80 65535 65536 99999999 0
/ /24 /0 /99 ?x=1 user:pw@ * mon Fri mon-xxx - , 18:00 24:00 99:99 job = =~ "shop" 'x' `y` " _ __ A é Europe Europe/Rome
UTC X-Team inside ; { } $ sqlite://
"""
PIECES = st.lists(st.sampled_from([*_WORDS.split(), " ", ": ", "\n"]), max_size=5).map("".join)
VALUES = QUANTITIES | NUMBERS | PIECES | st.booleans() | st.none() | st.lists(PIECES, max_size=2)


@pytest.mark.parametrize("name", sorted(TYPES))
@given(value=VALUES)
@example(value="5m")
@example(value="10%")
@example(value="1MiB")
@example(value=1)
@example(value=0.5)
@example(value="http://[::1]:9090/x")
@example(value="mon-fri 18:00-24:00")
@example(value='job="shop", instance=~"a.*"')
def test_schema_and_loader_agree(name: str, value: object, validators: dict[str, Any]) -> None:
    """What an editor underlines by the schema is what the loader refuses, for every scalar type."""
    # JSON schema calls 1.0 a whole number; and Python's `$`, not ECMAScript's, matches before a last line break.
    assume(not (isinstance(value, float) and value.is_integer()) and not str(value).endswith("\n"))
    adapter = TYPES[name]
    by_loader = accepts(adapter, value)
    by_schema = validators[name].is_valid(value)

    assert by_schema if by_loader else (name in CHECKED or not by_schema)


@pytest.mark.parametrize("policy", ["canary.yaml", "deploy/nginx/canary.yaml", "tests/golden/policies/custom.yaml"])
def test_the_repositorys_policies_fit_the_schema(policy: str, validator: Any) -> None:
    """An editor has nothing to underline in them."""
    data = yaml.safe_load((ROOT / policy).read_text(encoding="utf-8").replace("  on:", '  "on":'))

    assert [error.message for error in validator(policy_schema()).iter_errors(data)] == []


def test_every_default_of_the_schema_is_valid(validator: Any) -> None:
    """A default is written as it would stand in the file, and fits its own key."""
    schema = policy_schema()
    for section in (schema, *schema["$defs"].values()):
        for key, value in section["properties"].items():
            if "default" in value:
                whole = {**value, "$defs": schema["$defs"]}
                errors = [error.message for error in validator(whole).iter_errors(value["default"])]
                assert errors == [], (section["title"], key)


DISARMING = [
    "database: {reconcile: 0s}",
    "database: {refresh: 0s}",
    "database: {refresh: 1d}",
    "database: {replica: {max_lag: 365d}}",
    "database: {required: [{table: orders, columns: []}]}",
    "database: {statement_timeout: 0.1ms}",
    "database: {timezone: Europe}",
    "database: {url: shop.db}",
    "database: {url_env: 'two words'}",
    "database: {max_currencies: 100000}",
    "database: {events: {payments: {table: p, outcome: o, succeeded: []}}}",
    "database: {events: {orders: {table: ''}}}",
    "evidence: {alpha: 0%}",
    "evidence: {alpha: 100%}",
    "evidence: {bucket: 0s}",
    "evidence: {bucket: 1h}",
    "evidence: {minimum_units: -1}",
    "evidence: {mismatch: 0%}",
    "evidence: {mismatch: 100%}",
    "evidence: {pending_timeout: 0s}",
    "evidence: {pending_timeout: 52w}",
    "evidence: {staleness: 0s}",
    "evidence: {staleness: 365d}",
    "experiments: {e: {variants: {control: {weight: 0, version: a}, b: {weight: 1, version: b}}}}",
    "experiments: {e: {variants: {control: {weight: 1.0e+300, version: a}, b: {weight: 1, version: b}}}}",
    "flags: {f: {variants: {}}}",
    "kpis: {x: {kind: conversion, from: visits, to: orders, tolerance: 100%}}",
    "kpis: {x: {kind: conversion, from: visits, to: orders, floor: 0%}}",
    "kpis: {x: {kind: success, of: payments, floor: 100%}}",
    "kpis: {x: {kind: mean, of: orders, floor: .nan}}",
    "notify: {expire: 0s}",
    "notify: {timeout: 0s}",
    "phases: []",
    "phases: [{traffic: 0.001%, duration: 5m}, {traffic: 100%, duration: 5m}]",
    "phases: [{traffic: 100%, duration: 0s}]",
    "phases: [{traffic: 100%, duration: 5m, gate: {url: 'http://a', interval: 0s}}]",
    "phases: [{traffic: 100%, duration: 5m, gate: {url: 'http://a', timeout: 0s}}]",
    "phases: [{traffic: 100%, duration: 5m, gate: {url: 'file:///etc/passwd'}}]",
    "phases: [{traffic: 100%, duration: 5m, gate: {url: 'gopher://a:70/_GET'}}]",
    "phases: [{traffic: 100%, duration: 5m, gate: {url: 'http://me:secret@a/'}}]",
    "phases: [{traffic: 100%, duration: 5m, gate: {url: 'http://a@169.254.169.254/'}}]",
    'phases: [{traffic: 100%, duration: 5m, gate: {url: "http://a/ HTTP/1.1\\r\\nX: y"}}]',
    "phases: [{traffic: 100%, duration: 5m, gate: {url: '//a/'}}]",
    "phases: [{traffic: 100%, duration: 5m, max_duration: 0s}]",
    "process: {kind: command}",
    "process: {kind: pm2, name: all}",
    "process: {kind: pm2, name: default}",
    "process: {kind: pm2, name: '0'}",
    "process: {kind: pm2, name: /can.*/}",
    "process: {kind: systemd, name: '*'}",
    "process: {kind: systemd, name: --all}",
    "process: {timeout: 0s}",
    "process: {drain: 365d}",
    "receiver: {alertmanager: 'http://127.0.0.1:99999999'}",
    "receiver: {drill_max_age: 0s}",
    "receiver: {freeze: ['mon-xxx 99:99']}",
    "receiver: {freeze: ['mon 18:00-06:00']}",
    "receiver: {max_body: 0}",
    "receiver: {max_body: 10GB}",
    "receiver: {poll: 0s}",
    "receiver: {poll: 1d}",
    "receiver: {prometheus: 'http://me:secret@127.0.0.1:9090'}",
    "receiver: {reconcile: 0s}",
    "receiver: {repeat: 0s}",
    "receiver: {token_file: a, operator_token_file: a}",
    "receiver: {url: 'http://[::1'}",
    "receiver: {url: '127.0.0.1:9878'}",
    "receiver: {watchdog: {timeout: 0s}}",
    "receiver: {watchdog: {timeout: 365d}}",
    "receiver: {watchdog: {then: 365d}}",
    "receiver: {watchdog: {up_to: 0%}}",
    "rollback: {converge: 0s}",
    "rollback: {countdown: 365d}",
    "router: {kind: command, set: [], read: [a]}",
    "router: {kind: command, set: [''], read: [a]}",
    "router: {kind: haproxy, key: 'two words'}",
    "router: {kind: haproxy, listen: ':99999'}",
    "router: {kind: haproxy, sockets: []}",
    "router: {kind: haproxy, sockets: ['tcp:10.0.0.1']}",
    "router: {kind: haproxy, testers: {networks: [0.0.0.0/0]}}",
    "router: {kind: haproxy, testers: {networks: ['::/0']}}",
    "router: {kind: haproxy, timeout: 0s}",
    "router: {kind: haproxy, timeout: 365d}",
    "router: {kind: nginx, directories: []}",
    "router: {kind: nginx, upstreams: {canary: [256.1.1.1:80]}}",
    "signals: {alerts: {CanaryHighErrorRate: {hold_for: 365d}}}",
    "signals: {alerts: {CanaryHighErrorRate: {labels: {__name__: x}}}}",
    "signals: {critical: {database_connection_failures: 0}}",
    "signals: {critical: {error_rate: 100%}}",
    "signals: {critical: {hold_for: 365d}}",
    "signals: {critical: {memory: 100%}}",
    "signals: {critical: {response_time: 365d}}",
    "signals: {evaluation_interval: 1h}",
    "signals: {minimum_requests: -5}",
    "signals: {minimum_requests: 0}",
    "signals: {minimum_requests: 99999999}",
    "signals: {scrape_interval: 0s}",
    "signals: {scrape_interval: 1h}",
    "signals: {selector: 'job=shop'}",
    "signals: {selector: 'x=\"y\"} or vector(1) or up{'}",
    "signals: {shop_targets: [nowhere]}",
    "signals: {window: 0s}",
    "state: {url: ''}",
]
"""One line for each way in which a value would put the guard to sleep, or make it say what nobody can read."""


@pytest.mark.parametrize("text", DISARMING)
def test_no_value_that_disarms_the_guard_is_accepted(text: str, tmp_path: Path) -> None:
    """Zero, negative, endless, empty and contradictory values are faults with a line, never a running product."""
    path = tmp_path / "canary.yaml"
    path.write_text(f"service: shop\n{text}\n", encoding="utf-8")

    with pytest.raises(PolicyError) as caught:
        load_policy(path)

    for fault in caught.value.faults:
        assert fault.line == 2
        assert fault.place.startswith("canary.yaml:2: ")
        assert fault.what

"""The scalar types of a policy: what may be written, and within which bounds.

Every type is as narrow as the running product needs. The question asked of each was: what would 0, a negative number,
infinity, a year, an empty text do? Where the answer is "the guard would look asleep but say that it is awake", the type
refuses the value. A bound that only keeps somebody from a strange but working set-up is not drawn.
"""
# long: one table of types, which is searched and not read

import functools
import ipaddress
import re
import zoneinfo
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, StringConstraints

from canary.policy.values import freezegrammar as freeze
from canary.policy.values.scalars import Grammar, Quantity, UnfitError, Unit, shown
from canary.units import (
    DURATION_PATTERN,
    RATIO_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_ratio,
    format_size,
    parse_duration,
    parse_ratio,
    parse_size,
)

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type[T]) -> type[T]:
    """Make a class one section of the policy: frozen, keyword-only, unknown keys refused, docstrings as help."""
    config = ConfigDict(extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)
    cls.__pydantic_config__ = config  # type: ignore[attr-defined]  # pydantic reads it from plain dataclasses
    return dataclass(frozen=True, kw_only=True)(cls)


# Times.

_DURATION: Final = Unit("duration", parse_duration, format_duration, DURATION_PATTERN, "5m")
_DAY: Final = 86400.0
_LONGEST: Final = 3660 * _DAY
"""Ten years: beyond it no date can be counted back from today, and every server's own limit is passed."""


def lasting(at_least: float, at_most: float) -> Quantity:
    """A duration between two numbers of seconds, both allowed."""
    return Quantity(_DURATION, at_least, at_most)


Seconds = Annotated[float, lasting(0, _LONGEST)]
"""A duration, written `90s`, `5m`, `1h30m`."""

PositiveSeconds = Annotated[float, lasting(0.001, _LONGEST)]
"""A duration that cannot be nothing."""

Interval = Annotated[float, lasting(0.01, 3600)]
"""How often something is looked at: never in a busy loop, and never so seldom that nobody would call it watching."""

Scrape = Annotated[float, lasting(0.01, 120)]
"""How often Prometheus takes or judges samples; it forgets a series after 5m, and needs two samples before."""

Look = Annotated[float, lasting(0.01, 300)]
"""How often the receiver looks by itself at what may need a rollback."""

Timeout = Annotated[float, lasting(0.01, 600)]
"""How long one attempt may take. Nothing answers within 0s, and what may take for ever is never tried again."""

RouterTimeout = Annotated[float, lasting(0.01, 60)]
"""How long a router may take to answer: a rollback waits for it."""

Patience = Annotated[float, lasting(0, 3600)]
"""How long something bad may last before it counts: at once, or up to an hour. Longer, it would never count."""

PositivePatience = Annotated[float, lasting(0.01, 3600)]
"""A `Patience` that cannot be nothing."""

Lateness = Annotated[float, lasting(0, 7 * _DAY)]
"""How late news may be and still be waited for."""


# Shares.

_RATIO: Final = Unit("percentage", parse_ratio, format_ratio, RATIO_PATTERN, "10%", bare=True)

Ratio = Annotated[float, Quantity(_RATIO, 0, 1)]
"""A share of one, written `10%` or `0.1`."""

PositiveRatio = Annotated[float, Quantity(_RATIO, 0, 1, above=True)]
"""A share that cannot be nothing."""

OpenRatio = Annotated[float, Quantity(_RATIO, 0, 1, above=True, below=True)]
"""A share that is neither nothing nor everything."""

ShareLimit = Annotated[float, Quantity(_RATIO, 0, 1, below=True)]
"""A share that can be exceeded: a limit of 100 % is none."""

Alpha = Annotated[float, Quantity(_RATIO, 1e-6, 0.5)]
"""A chance of a wrong verdict. Nothing is ever proven to less than one in a million; above one half it is a coin."""

Weight = Annotated[float, Quantity(_RATIO, 0, 1)]
"""A share of the customers; how small it may be, besides nothing, is up to `canary.policy.reading.consistency`."""


# Numbers.

_MANY: Final = 10**9
"""More of anything than a shop has in a rollout, and exact in every format that the number passes through."""

Count = Annotated[int, Field(ge=0, le=_MANY)]
"""How many; none is fine."""

Approvers = Annotated[int, Field(ge=1, le=10)]
"""How many people must agree; more than ten never do."""

ServerWeight = Annotated[int, Field(ge=1, le=256)]
"""A server's weight among its version's: what HAProxy and nginx both take."""

PositiveCount = Annotated[int, Field(ge=1, le=_MANY)]
"""How many, at least one."""

Threshold = Annotated[int, Field(ge=1, le=10**6)]
"""From how many on something counts: from none on it always would, from a million on it never would."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""Any number."""

Factor = Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)]
"""How many times as much: at least 1; what is a thousand times worse is never reached."""

Proportion = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
"""A weight relative to other weights."""

_SIZE: Final = Unit("size", parse_size, format_size, SIZE_PATTERN, "1MiB", bare=True)

Bytes = Annotated[int, Quantity(_SIZE, 1, 2**50)]
"""A size, written `64KB`, `1MiB`."""

BodyLimit = Annotated[int, Quantity(_SIZE, 2**12, 2**26)]
"""The largest request that is read: an alert must fit in, and not the machine's memory."""


# Names.

Text = Annotated[str, StringConstraints(pattern=r"[^ \t\n]")]
"""Any text that says something."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A name that becomes part of a metric name: lower-case letters, digits, underscores."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
"""A version or identifier: letters, digits, `.`, `_`, `+`, `-`; at most 64 characters."""

LabelName = Annotated[str, StringConstraints(pattern=r"^(?:[a-zA-Z]|_[a-zA-Z0-9]|_$)[a-zA-Z0-9_]*$")]
"""A Prometheus label name; those with two underscores in front are Prometheus' own."""

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
"""A Prometheus metric name."""

EnvironmentName = Annotated[str, Grammar("the name of an environment variable", "[A-Za-z_][A-Za-z0-9_]*", "SHOP_TOKEN")]
"""An environment variable's name."""

RequestKey = Annotated[str, Grammar("the name of a cookie or header", "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "user_id")]
"""The name of a cookie or of a header."""

RequestHeader = Annotated[str, Grammar("the name of a header", "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "X-Version")]
"""The name of a header."""

_FULL_HEADERS: Final = re.compile(
    "(?:host|cookie|connection|keep-alive|upgrade|expect|te|trailer|range|accept(?:-.*)?|origin|cache-control|pragma"
    "|max-forwards|transfer-encoding|content-.*|if-.*|sec-.*|proxy-.*|x-canary-.*|(?:x-)?http-method.*"
    "|(?:.*-)?(?:authorization|ip|token|api-key)|x-(?:csrf|xsrf).*|forwarded|x-forwarded-(?!for$).*|trace(?:parent|state))"
)
"""Headers in which one more word changes what a request is, or who it is from."""


def _has_room(name: str) -> None:
    if _FULL_HEADERS.fullmatch(name.lower()):
        raise UnfitError(
            f"one more word in {name} would change the request",
            "take one that the shop only stores, such as user-agent or x-forwarded-for",
        )


Backend = Annotated[str, Grammar("the name of a backend", "[A-Za-z0-9_.:-]{1,128}", "shop-canary")]
"""A backend of HAProxy, by what it may be called there; it becomes a part of queries."""

TAG_HEADER = Grammar(
    "the name of a header that a word may be put behind",
    "[A-Za-z][A-Za-z0-9-]{0,63}",
    "user-agent",
    check=_has_room,
)
TagHeader = Annotated[str, TAG_HEADER]
"""The name of a header whose value may have one more word."""

PathPrefix = Annotated[str, Grammar("what paths begin with", "/[A-Za-z0-9._~+-][A-Za-z0-9/._~+-]{0,254}", "/webhooks/")]
"""What some requests' paths begin with; of more than the `/` that all begin with."""

ConfigWords = Annotated[str, Grammar("words", "[A-Za-z0-9_=.:/,+-]+(?: [A-Za-z0-9_=.:/,+-]+)*", '"maxconn 100"')]
"""Words for a line of a router's configuration, which cannot end the line."""

ConfigLine = Annotated[
    str, Grammar("one line", r"[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*", "http-request deny if { ... }")
]
"""A line of a router's configuration, taken over as it is."""

ProcessName = Annotated[
    str,
    Grammar("the name of a process", r"[A-Za-z0-9_@](?:[A-Za-z0-9_.@:+\\ -]|\{slot\}){0,254}", "shop-canary.service"),
]
"""A process as its manager knows it: no option, and no pattern by which systemd would stop others too."""

Argv = Annotated[tuple[Text, ...], Field(min_length=1)]
"""A program and its arguments; never passed through a shell."""

OptionalArgv = tuple[Text, ...]
"""A program and its arguments, or nothing."""


# Addresses.

_PORT = "(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
_HOST = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]{2,45}\])"
_ADDRESS = f"{_HOST}:{_PORT}"
_FIRST_HOST = re.compile(rf"(?:https?://|tcp:)?({_HOST})(?=[:/?#]|$)")


def _check_host(text: str) -> None:
    """What looks like an address is one: `[::1::]` and `256.1.1.1` are neither addresses nor names."""
    found = _FIRST_HOST.match(text)
    host = found[1] if found else ""
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host.strip("[]"))
        elif "." in host and not host.strip("0123456789."):
            ipaddress.IPv4Address(host)
    except ValueError as error:
        raise UnfitError(f"expected an address, found {shown(text)}: {error}") from None


_ENCODED = "write what a URL does not have as it is encoded: %7B for {, %22 for a quotation mark"

_IN_URL = r'[^\s"<>\\^`{|}]'
"""What a URL has unencoded. `{{` would be a template to Prometheus and Alertmanager, which are told many of them."""

HttpUrl = Annotated[
    str,
    Grammar(
        "a URL",
        rf"https?://{_HOST}(?::{_PORT})?(?:[/?#]{_IN_URL}*)?",
        "http://127.0.0.1:9090",
        _check_host,
        "begin with http:// or https://, name a host, and leave user names and passwords out",
    ),
]
"""An address of a server, without credentials."""

Link = Annotated[
    str, Grammar("a URL", rf"(?:https?://(?!/){_IN_URL}+)?", "https://grafana.example.org", remedy=_ENCODED)
]
"""An address that people follow from an alert, or nothing."""

HostPort = Annotated[str, Grammar("host:port", _ADDRESS, "10.0.1.10:5000", _check_host)]
"""A server's address."""

HostName = Annotated[
    str, Grammar("the name of a host", r"[A-Za-z0-9*](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", "shop.example")
]
"""A host's name, as clients ask for it."""

Upstream = Annotated[
    str, Grammar("host:port", rf"(?:{_HOST}(?::{_PORT})?|unix:[^ \t\n]+)", "10.0.1.10:5000", _check_host)
]
"""A server's address in a router's configuration."""

ListenAddress = Annotated[
    str,
    Grammar("an address to listen on", rf"(?:(?:\*|{_HOST})?:)?{_PORT}", ":80", _check_host),
]
"""Where a router listens: `:80`, `127.0.0.1:8080`, `80`."""

SocketAddress = Annotated[
    str, Grammar("a socket", rf"(?:tcp:{_ADDRESS}|(?!tcp:)[^ \t\n]+)", "/run/haproxy/canary.sock or tcp:10.0.1.5:9999")
]
"""A runtime socket: a path, or `tcp:host:port`."""


def _check_network(text: str) -> None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise UnfitError(f"not an address range: {error}") from None
    if network.prefixlen == 0:
        raise UnfitError(f"{text} is every address: every customer would be a tester", "name the testers' own networks")


Network = Annotated[
    str, Grammar("an address range", r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?", "10.0.1.0/24", _check_network)
]
"""A range of addresses."""

HeaderPair = Annotated[
    str, Grammar("`Name: value`", r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127} *: *[^ ,;\t\n]+", '"X-Team: inside"')
]
"""A request header and its value."""

CookiePair = Annotated[
    str, Grammar("`name=value`", r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127} *= *[^ ,;\t\n]+", '"team=inside"')
]
"""A cookie and its value."""

DatabaseUrl = Annotated[str, Grammar("an SQLAlchemy URL", r"[A-Za-z][A-Za-z0-9_+.-]*://[^\t\n]*", "sqlite:///shop.db")]
"""Where a database is."""


# Other grammars.

_STRING = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"
_MATCHER = rf"[a-zA-Z_][a-zA-Z0-9_]* *(?:=~|!~|!=|=) *{_STRING}"

Selector = Annotated[str, Grammar("label matchers", rf"(?: *{_MATCHER}(?: *, *{_MATCHER})* *,? *)?", 'job="shop"')]
"""Label matchers as Prometheus takes them between braces, or nothing."""

ShortFreeze = Annotated[
    str,
    Grammar("days and perhaps times", freeze.SHORT_PATTERN, "`sat,sun` or `mon-fri 18:00-24:00`", freeze.parse_short),
]
"""Days, and perhaps a time of day in UTC, in which nothing advances."""

ClockTime = Annotated[str, Grammar("a time of day", freeze.CLOCK_PATTERN, "18:00 or 24:00")]
"""A time of day."""

Weekdays = Annotated[
    str, Grammar("days of the week", freeze.WEEKDAYS_PATTERN, "saturday or monday:friday", freeze.parse_weekdays)
]
"""A day of the week, or a range of them, as Alertmanager writes it."""

MonthDays = Annotated[
    str,
    Grammar("days of the month", freeze.DAYS_PATTERN, "1:5, or -3:-1 for the last three", freeze.parse_days, bare=True),
]
"""A day of the month, or a range of them; negative ones count from its end."""

Months = Annotated[
    str, Grammar("months", freeze.MONTHS_PATTERN, "december or november:december", freeze.parse_months, bare=True)
]
"""A month, or a range of them, by name or number."""

Years = Annotated[str, Grammar("years", freeze.YEARS_PATTERN, "2026 or 2026:2027", freeze.parse_years, bare=True)]
"""A year, or a range of them."""


@functools.cache
def _zone(name: str) -> bool:
    """Whether a time zone has this name; folders of the zones' database, such as `Europe`, are none."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_zone(text: str) -> None:
    if not _zone(text):
        raise UnfitError(f"no time zone {shown(text)}", "write one such as Asia/Karachi")


TimeZone = Annotated[str, Grammar("a time zone", "[A-Za-z][A-Za-z0-9_+/-]{0,63}", "Asia/Karachi", _check_zone)]
"""A time zone's name."""

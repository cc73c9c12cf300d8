"""Where Alertmanager sends an alert, worked out from the configuration that it runs.

amtool could be asked, and was once. It reads the configuration as strictly as the Alertmanager that it came with: one
that is a few years older than the server refuses every key that has come since, and so an old package on the
receiver's machine decided that no rollback would arrive. Routing itself has not changed: labels go down a tree, the
first child that matches takes them unless it says `continue`, and a node without a matching child is the receiver.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from canary.prometheus import Matcher

T = TypeVar("T", list[Any], dict[str, Any])

# `action="rollback"`, `team=~a|b`, `"label with spaces"!="x"`: quoted or bare on either side, as Alertmanager takes it.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_MATCHER = re.compile(
    rf'\s*(?P<name>{_QUOTED}|[^\s=!~"{{}},]+)\s*(?P<operator>=~|!~|!=|=)\s*(?P<value>{_QUOTED}|[^",{{}}]*?)\s*(?:,|$)'
)
_KINDS = {list: "list", dict: "mapping"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def receivers(route: object, labels: Mapping[str, str]) -> list[str]:
    """Names of the receivers that get an alert with these labels; *route* is the configuration's `route`.

    Raises:
        ValueError: the tree is none, or holds a matcher that is not understood; the message says which.
    """
    try:
        return list(_walk(_node(route), labels, ""))
    except RecursionError:
        raise ValueError("they are nested too deeply") from None


def _walk(route: Mapping[str, Any], labels: Mapping[str, str], inherited: str) -> Iterator[str]:
    name = str(route.get("receiver") or inherited)
    taken = False
    for child in map(_node, _held(route, "routes", [])):
        if all(matcher.matches(labels) for matcher in _matchers(child)):
            taken = True
            yield from _walk(child, labels, name)
            if not child.get("continue"):
                break
    if not taken:
        yield name


def _node(route: object) -> dict[str, Any]:
    found = route if isinstance(route, dict) else {}
    if not found:
        raise ValueError(f"expected a route, found {route!r}"[:200])
    return found


def _matchers(route: Mapping[str, Any]) -> Iterator[Matcher]:
    """The conditions of a route, in the form of today and in that of Alertmanager 0.21 and before."""
    for text in _held(route, "matchers", []):
        yield from _parsed(str(text))
    for name, value in _labels(route, "match"):
        yield Matcher(name, value)
    for name, value in _labels(route, "match_re"):
        yield _matcher(name, value, regex=True)


def _labels(route: Mapping[str, Any], key: str) -> Iterator[tuple[str, str]]:
    for name, value in _held(route, key, {}).items():
        yield str(name), str(value)


def _held(route: Mapping[str, Any], key: str, empty: T) -> T:
    """What a route has at a key, of the kind of *empty*."""
    found = route.get(key) or empty
    if isinstance(found, type(empty)):
        return found
    raise ValueError(f"expected a {_KINDS[type(empty)]} in {key}, found {found!r}"[:200])


def _parsed(text: str) -> Iterator[Matcher]:
    rest = text.strip()
    if rest.startswith("{") and rest.endswith("}"):
        rest = rest[1:-1].strip()
    while rest:
        found = _MATCHER.match(rest)
        if found is None:
            raise ValueError(f"the matcher {text!r} is not understood")
        operator = found["operator"]
        yield _matcher(_bare(found["name"]), _bare(found["value"]), regex="~" in operator, equal="!" not in operator)
        rest = rest[found.end() :].strip()


def _matcher(name: str, value: str, *, regex: bool, equal: bool = True) -> Matcher:
    try:
        return Matcher(name, value, regex, equal)
    except re.error as error:
        raise ValueError(f"the expression {value!r} of the label {name} is not understood: {error}") from error


def _bare(text: str) -> str:
    """Without quotes and escapes."""
    if not text.startswith('"'):
        return text
    return _ESCAPED.sub(lambda match: {"n": "\n"}.get(match[1], match[1]), text[1:-1])

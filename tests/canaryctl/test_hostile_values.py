"""Whatever a policy says, what is generated from it says it as a text: no value becomes a query or a template."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alertmanager.config.configuration import alertmanager_config
from canary.errors import PolicyError
from canary.mixin.yamltext import dump
from canary.policy import Policy, load_policy
from grafana.generate import dashboards
from rules.generate import rule_groups
from rules.scrape import scrape_config
from scripts import golden

Key = tuple[str | int, ...]

# What ends a text, or begins something else, in PromQL, Go's templates, jsonnet, YAML, HTML or a shell.
_NASTY = (
    "evil{{ evil }}\"evil'evil`evil\\evil$(evil)%evil;evil}evil#evil<evil>,evil|evil@importstr 'evil'",
    "evil{{evil}}\"evil'`evil\\evil$(evil)%evil;evil}#evil<evil>|evil",
    "evil\"'`evil\\evil;evil#evil<evil>|evil",
    "evil{{evil}}",
    "evil'evil;evil(evil)$evil,@evil#evil",
)
# Written by Prometheus' own rules, and meant to be: docs/rules.md tells to write templates there.
_THEIR_TEMPLATES = ("signals.alerts.",)

_PROMQL_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`")
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def _keys(value: Any, key: Key = ()) -> Iterator[Key]:
    """Every text of a policy."""
    if isinstance(value, str):
        yield key
    elif isinstance(value, list | dict):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _keys(inner, (*key, name))


def _dotted(key: Key) -> str:
    return ".".join(map(str, key))


def _put(policy: Any, key: Key, text: str) -> None:
    for name in key[:-1]:
        policy = policy[name]
    policy[key[-1]] = text


def _got(policy: Any, key: Key) -> str:
    for name in key:
        policy = policy[name]
    return str(policy)


def _nastiest(written: dict[str, Any], file: Path) -> tuple[Policy, set[str]]:
    """The policy with the nastiest text that is accepted behind each of its own, and which keys have one."""
    policy = copy.deepcopy(written)
    left = {key for key in _keys(written) if not _dotted(key).startswith(_THEIR_TEMPLATES)}
    nasty: set[str] = set()
    for text in _NASTY:
        for key in left:
            _put(policy, key, _got(written, key) + text)
        tried = set(left)
        while faults := _faults(policy, file):
            refused = _at_fault(tried, faults)
            assert refused, faults
            for key in refused:
                _put(policy, key, _got(written, key))
            tried -= refused
        nasty |= set(map(_dotted, tried))
        left -= tried
    return load_policy(file), nasty


def _faults(policy: dict[str, Any], file: Path) -> list[str]:
    file.write_text(yaml.safe_dump(policy, sort_keys=False, allow_unicode=True), encoding="utf-8")
    try:
        load_policy(file)
    except PolicyError as error:
        return list(map(str, error.faults))
    return []


def _at_fault(keys: set[Key], faults: list[str]) -> set[Key]:
    """The keys that faults are about; where they are about none, those of the same sections, which name one another."""
    places = [found[1] for fault in faults if (found := re.search(r"yaml:\d+: ([^ :]+)", fault))]
    named = {key for key in keys if any(_dotted(key).startswith(place) for place in places)}
    return named or {key for key in keys if any(place.startswith(str(key[0])) for place in places)}


def _shop(**signals: str) -> dict[str, Any]:
    """The policy that changes whatever can be changed."""
    policy: dict[str, Any] = yaml.safe_load(golden.POLICIES["custom"].read_text(encoding="utf-8"))
    policy["signals"] |= signals
    if signals.get("preset") == "haproxy":
        del policy["signals"]["query_duration"], policy["signals"]["critical"]["query_time"]
        policy["signals"].pop("connection_errors", None)
    return policy


@pytest.mark.parametrize("preset", ["application", "haproxy"])
def test_no_value_gets_out_of_the_text_that_it_is(preset: str, tmp_path: Path) -> None:
    """In no query and no template of the rules, in none of the dashboards, nor in the other files' own structure."""
    if preset == "haproxy":
        written = _shop(preset=preset, canary_backend="canary", stable_backend="stable")
    else:
        written = _shop(selector="job=`books`", process_selector='instance="a"', node_selector="role='canary'")
    policy, nasty = _nastiest(written, tmp_path / "canary.yaml")
    assert {"database.events.orders.table", "receiver.people", "receiver.token_file"} <= nasty

    groups = [group for file in rule_groups(policy).values() for group in file["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    queries = [rule["expr"] for rule in rules]
    for text in dashboards(policy).values():
        queries += _queries(json.loads(text))
    assert not [query for query in queries if "evil" in _PROMQL_TEXT.sub('""', query)]

    texts = [text for rule in rules for kind in ("labels", "annotations") for text in rule.get(kind, {}).values()]
    assert not [text for text in texts for template in _TEMPLATE.findall(text) if "evil" in template]
    assert not [text for text in texts if "{{" in _TEMPLATE.sub("", text)]
    for made in (scrape_config(policy), alertmanager_config(policy)):
        assert yaml.safe_load(dump(made)) == made


def _queries(dashboard: Any) -> Iterator[str]:
    """Every query of a dashboard, whatever it is in."""
    if isinstance(dashboard, list):
        for part in dashboard:
            yield from _queries(part)
    elif isinstance(dashboard, dict):
        for key, part in dashboard.items():
            if key in ("expr", "query") and isinstance(part, str):
                yield part
            else:
                yield from _queries(part)

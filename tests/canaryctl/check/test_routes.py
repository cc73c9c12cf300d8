"""Alertmanager's routing, worked out from the configuration that it runs."""

import re

import pytest
import yaml

from canaryctl.check.routes import receivers

_TREE = yaml.safe_load(
    """
    receiver: people
    routes:
      - {receiver: shop, matchers: ['{service="shop",action=~"rollback|hold"}'], continue: true}
      - receiver: team
        matchers: ['service=~"sh.*"', 'severity!="info"']
        routes:
          - {matchers: ['action=advance']}
          - {receiver: night, match: {severity: critical}, match_re: {team: 'a|b'}}
      - {receiver: quoted, matchers: ['"a, \\"name\\""="x=\\n{1}"']}
    """
)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"service": "books"}, ["people"]),
        ({"service": "shop", "action": "rollback", "severity": "info"}, ["shop"]),
        ({"service": "shop", "action": "hold", "severity": "warning"}, ["shop", "team"]),
        ({"service": "shop", "action": "rollback", "severity": "critical", "team": "b"}, ["shop", "night"]),
        ({"service": "shop", "severity": "critical", "team": "ab"}, ["team"]),
        ({"service": "shirts", "action": "advance"}, ["team"]),
        ({'a, "name"': "x=\n{1}"}, ["quoted"]),
    ],
    ids=str,
)
def test_an_alert_goes_down_the_tree(labels: dict[str, str], expected: list[str]) -> None:
    """The first child that matches takes it, all while they say `continue`; without one the node is the receiver."""
    assert receivers(_TREE, labels) == expected


_DEEP: dict[str, object] = {"receiver": "a"}
for _ in range(5_000):
    _DEEP = {"receiver": "a", "routes": [_DEEP]}


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (None, "expected a route"),
        ({"receiver": "a", "routes": ["b"]}, "expected a route"),
        ({"receiver": "a", "routes": [{"matchers": ["service"]}]}, "'service' is not understood"),
        ({"receiver": "a", "routes": [{"matchers": ["service=~'['"]}]}, "is not understood"),
        ({"receiver": "a", "routes": 5}, "expected a list in routes"),
        ({"receiver": "a", "routes": [{"match": "service"}]}, "expected a mapping in match"),
        (_DEEP, "nested too deeply"),
    ],
    ids=["none", "text", "no operator", "no expression", "number", "text in match", "deep"],
)
def test_what_cannot_be_followed_is_named(route: object, said: str) -> None:
    """Nothing is guessed about where an alert goes."""
    with pytest.raises(ValueError, match=re.escape(said)):
        receivers(route, {})

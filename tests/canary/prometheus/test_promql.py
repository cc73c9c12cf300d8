"""Expressions are read as trees: which series they read, and through which recorded ones."""

import promql_parser
import pytest

from canary.errors import GenerateError
from canary.prometheus.promql import calls, canonical, fault, inputs, matchers, metrics, parse, template_queries


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("vector(1)", set()),
        ('sum by (a) (rate(x_total{b="c"}[5m])) / on (a) (y > 0)', {"x_total", "y"}),
        ("absent(x) or -(max_over_time(y[1h:1m]))", {"x", "y"}),
        ("histogram_quantile(scalar(q), sum by (le) (rate(b_bucket[1m])))", {"q", "b_bucket"}),
    ],
)
def test_metrics_are_found_wherever_they_stand(expression: str, found: set[str]) -> None:
    """Functions, aggregations, operators, windows and subqueries are all looked into."""
    assert metrics(expression) == found


_WRITTEN = 'sum by (a) (rate(x_total{b="1",c!="2"}[1m] offset 5m)) / on (a) group_left (d) (y > bool 0.05)'


def test_an_expression_is_one_however_its_server_writes_it() -> None:
    """Blanks, quotes, the order of labels, and how a number or a duration is spelt make no difference."""
    other = "sum(rate(x_total{c!='2', b='1'}[60s] offset 300s)) by(a)\n/ on(a) group_left(d) (y>bool 0.050)"
    assert canonical(other) == canonical(_WRITTEN)


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("sum", "avg"),
        ("by (a)", "without (a)"),
        ("rate", "increase"),
        ('b="1"', 'b="2"'),
        ('c!="2"', 'c!~"2"'),
        ("[1m]", "[2m]"),
        (" offset 5m", ""),
        ("on (a)", "ignoring (a)"),
        ("group_left (d)", "group_left ()"),
        ("(y > bool 0.05)", "y > bool 0.05"),
        ("> bool", ">"),
        ("0.05", "0.06"),
    ],
)
def test_what_an_expression_means_is_kept_in_how_it_is_written(what: str, instead: str) -> None:
    """Everything that makes another rule of it makes another text."""
    assert what in _WRITTEN
    assert canonical(_WRITTEN.replace(what, instead)) != canonical(_WRITTEN)


def test_what_is_read_through_records_is_found() -> None:
    """A record's own inputs count for those who read it, at any depth, and circles end."""
    rules = [
        {"record": "a:one:sum", "expr": "raw_total"},
        {"record": "a:two:sum", "expr": "a:one:sum + a:two:sum"},
        {"alert": "Some", "expr": "a:two:sum > other"},
    ]

    assert inputs(rules[2:], rules) == {"a:two:sum", "a:one:sum", "raw_total", "other"}


def test_queries_in_templates_are_found() -> None:
    """Plain ones, and those in which a label's value will stand."""
    text = '{{ with query `up{a="b"}` }}x{{ end }} {{ with printf `up{v=%q}` $labels.v | query }}y{{ end }}'

    assert template_queries(text) == ['up{a="b"}', 'up{v="x"}']


def test_what_is_no_promql_is_named() -> None:
    """The message holds the expression and what is wrong with it."""
    with pytest.raises(GenerateError, match=r"^sum\(up: not PromQL: "):
        parse("sum(up")


def test_the_function_around_each_node_is_told() -> None:
    """What a counter stands in decides whether its use is right: the innermost function counts."""
    found = {
        str(node.name): function
        for node, function in calls(
            parse("sum(rate(a_total[5m])) / on (x) max_over_time(increase(b_total[1m])[1h:]) + c")
        )
        if isinstance(node, promql_parser.VectorSelector)
    }

    assert found == {"a_total": "rate", "b_total": "increase", "c": ""}


def test_a_selectors_matchers_are_found_by_label() -> None:
    """Each label's matcher, whatever its kind."""
    selector = parse('up{job="a",instance!~"b.*"}')
    assert isinstance(selector, promql_parser.VectorSelector)

    assert {label: matcher.value for label, matcher in matchers(selector).items()} == {"job": "a", "instance": "b.*"}


def test_a_fault_is_told_in_words() -> None:
    """What does not parse is named; what does has no fault."""
    assert fault("sum(up)") == ""
    assert fault("sum(up").startswith("not PromQL: ")

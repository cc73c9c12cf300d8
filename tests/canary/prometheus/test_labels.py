"""The labels of an expression's series are told from its text."""

import pytest

from canary.prometheus.labels import labels
from canary.prometheus.promql import parse

_RECORDED = {"job:a:sum": frozenset({"job", "service"})}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("a", None),
        ("rate(a[5m])", None),
        ("job:a:sum", {"job", "service"}),
        ("sum(a)", set()),
        ("sum by (x, y) (a)", {"x", "y"}),
        ("sum by (job, x) (job:a:sum)", {"job"}),
        ("max without (job) (job:a:sum)", {"service"}),
        ("sum without (x) (a)", None),
        ("topk(3, job:a:sum)", {"job", "service"}),
        ("1 - 2 * job:a:sum", {"job", "service"}),
        ("time() - max(a)", set()),
        ("-(job:a:sum offset 5m)", {"job", "service"}),
        ("job:a:sum / on (job) b", {"job"}),
        ("job:a:sum / ignoring (job) b", {"service"}),
        ("a / sum by (x) (b)", {"x"}),
        ("job:a:sum > on (job) b", {"job"}),
        ("job:a:sum and on (job) b", {"job", "service"}),
        ("job:a:sum unless b", {"job", "service"}),
        ("job:a:sum or sum by (x) (b)", {"job", "service", "x"}),
        ("job:a:sum or b", None),
        ("a * on (job) group_left (x) job:a:sum", None),
        ("sum by (z) (a) * on (z) group_left (x) b", {"x", "z"}),
        ("b * on (z) group_right (x) sum by (z) (a)", {"x", "z"}),
        ('label_replace(sum by (x) (a), "y", "$1", "x", "(.+)")', {"x", "y"}),
        ("histogram_quantile(0.95, sum by (le, x) (rate(a_bucket[5m])))", {"x"}),
        ("max_over_time(sum by (x) (a)[1h:1m])", {"x"}),
        ("absent(a)", None),
        ("vector(1)", set()),
        ("canary_kpi_judged", {"job", "instance", "service", "rollout", "kpi"}),
        ('count_values by (x) ("value", a)', {"x", "value"}),
        ("timestamp(job:a:sum)", {"job", "service"}),
        ("scalar(a)", set()),
    ],
)
def test_labels_are_those_that_promql_leaves(expression: str, found: set[str] | None) -> None:
    """Aggregations, joins, functions and set operators keep, add and take away labels as Prometheus does."""
    assert labels(parse(expression), _RECORDED) == found

"""Grafana's variables in queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana.expand import built_in, expand, variables_in


@pytest.mark.parametrize("written", ["$service", "${service}", "${service:queryparam}"])
def test_every_way_to_write_a_variable_is_replaced(written: str) -> None:
    """`$name`, `${name}` and `${name:format}` all become the value."""
    assert expand(f'up{{service="{written}"}}', {"service": "shop"}) == 'up{service="shop"}'


def test_a_longer_name_is_not_mistaken_for_a_shorter_one() -> None:
    """`$__range_s` is not `$__range` with an s."""
    values = {"__range": "1h", "__range_s": "3600"}

    assert expand("$__range_s $__range", values) == "3600 1h"


def test_a_group_of_a_regular_expression_stays() -> None:
    """`$1` in label_replace belongs to Prometheus."""
    assert expand('label_replace(up, "a", "$1", "b", "(.+)")', {}) == 'label_replace(up, "a", "$1", "b", "(.+)")'


def test_an_unknown_variable_is_refused() -> None:
    """A variable without a value never reaches Prometheus."""
    with pytest.raises(KeyError):
        expand("up{x='$nothing'}", {})


@given(step=st.floats(1, 3600), scrape=st.floats(1, 60))
def test_a_rate_always_sees_two_samples(step: float, scrape: float) -> None:
    """`$__rate_interval` is at least about four scrapes, and no shorter than the step."""
    seconds = int(built_in(step, 3600, scrape)["__rate_interval"].removesuffix("s"))

    assert seconds >= 4 * scrape - 1
    assert seconds >= step


def test_the_variables_of_a_text_are_found() -> None:
    """Names are found in all forms."""
    assert variables_in("$a ${b} ${c:raw} d") == {"a", "b", "c"}

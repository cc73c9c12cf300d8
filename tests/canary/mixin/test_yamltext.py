"""YAML of somebody else's, read and written again."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from canary.mixin.yamltext import dump, load_as_written


@pytest.mark.parametrize(
    "value",
    [
        "22:00",
        "012",
        "1.10",
        "no",
        "on",
        "True",
        "0x1F",
        "1_000",
        "2026-01-01",
        "1e3",
        ".5",
        "~",
        "5m",
        "'22:00'",
        "'no'",
    ],
)
def test_a_value_of_theirs_keeps_its_letters(value: str) -> None:
    """Alertmanager takes `22:00` for a time and `no` for a label's text, and would not know 1320 or false."""
    written = dump(load_as_written(f"labels: {{site: {value}}}\n"))

    assert written == f"labels:\n  site: {'null' if value == '~' else value}\n"


def test_a_key_of_theirs_keeps_its_letters() -> None:
    """A label may be called so."""
    assert dump(load_as_written("{on: 1, yes: 2}")) == "on: 1\nyes: 2\n"


_TEXTS = st.text(st.sampled_from("aenoy019.:-_+xX#'\" {}[],&*!|>%@`~=<\n"), max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.dates() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(_VALUES)
def test_whatever_it_is_it_means_the_same_afterwards(value: Any) -> None:
    """To a program that goes by YAML 1.1, too."""
    assert yaml.safe_load(dump(load_as_written(yaml.safe_dump(value)))) == value


@pytest.mark.parametrize("text", ["&a [*a]", "jobs: &a {again: {job: *a}}", "a: &a\n  <<: *a\n", "&a {? *a : 1}"])
def test_what_holds_itself_is_refused_with_its_line(text: str) -> None:
    """Written out it would never end; it ended in a traceback."""
    with pytest.raises(yaml.YAMLError, match="an alias in it contains itself") as refused:
        load_as_written(text)
    assert "line 1" in str(refused.value)


def test_aliases_that_unfold_without_measure_are_refused() -> None:
    """Some lines of them would be gigabytes."""
    lines = [
        "a0: &a0 [x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 9)),
    ]

    with pytest.raises(yaml.YAMLError, match="more than 1,000,000 values when its aliases are written out"):
        load_as_written("\n".join(lines))


def test_an_alias_that_is_used_twice_is_written_out_twice() -> None:
    """Parts that are alike are no parts that hold themselves."""
    assert dump(load_as_written("a: &a {b: [1]}\nc: [*a, *a]\nd: {<<: *a, e: 2}\n")) == (
        "a:\n  b:\n    - 1\nc:\n  - b:\n      - 1\n  - b:\n      - 1\nd:\n  b:\n    - 1\n  e: 2\n"
    )

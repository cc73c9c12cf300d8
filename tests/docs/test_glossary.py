"""The glossary has every word that a metric's or an alert's name is made of."""

import re

import pytest

from canary import names
from tests.support.documents.pages import DOCS

_NAMES = sorted(
    value
    for value in vars(names).values()
    if isinstance(value, str) and re.fullmatch(r"canary_[a-z_]+|Canary(?:[A-Z][a-z]+)+", value)
)

_EVERYBODYS = """
actions active age alerts back before better broken build complete config connection connections crawler data
database down dropped duration elapsed elevated end ended error errors everywhere fail failures gaps high
incomplete info last line lines log low lower memory not notifications now of out over overdue payment payments
queries range rate ratio refresh release releases reload request requested requests response rows running
seconds seen server since slow spent started state step store success successful time timestamp total unhealthy
unknown up upper value version very web webhook worse
"""
"""Words that mean in a name what they mean in any dictionary, or in Prometheus' own."""

_STEMS = {
    "advanced": "advance", "assignments": "assignment", "compatible": "schema", "converged": "convergence",
    "converging": "convergence", "corrections": "correction", "frozen": "freeze", "harmed": "harm", "held": "hold",
    "incompatible": "schema", "lags": "lag", "promotion": "promote", "relative": "change", "rollbacks": "rollback",
    "rolled": "rollback", "units": "unit",
}  # fmt: skip
"""Forms of a word, by that under which the glossary has it."""


def _terms() -> set[str]:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    return {word for term in re.findall(r"^\| \*\*(.+?)\*\*", text, re.MULTILINE) for word in term.lower().split()}


@pytest.mark.parametrize("name", _NAMES)
def test_a_word_of_a_name_is_explained(name: str) -> None:
    """Or it is everybody's word: whoever reads an alert at night finds what the others mean."""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", name)} - set(_EVERYBODYS.split())

    assert {_STEMS.get(word, word) for word in words} <= _terms() | {"e", "kpi"}


def test_the_terms_are_in_order_and_each_is_there_once() -> None:
    """So that a term is found where it is looked for."""
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = [term.lower() for term in re.findall(r"^\| \*\*(.+?)\*\*", text, re.MULTILINE)]

    assert terms == sorted(set(terms))

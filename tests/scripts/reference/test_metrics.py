"""The reference of metrics, made from the source text: it has every series, however its help text is written there."""

import ast

from canary import names
from scripts.reference.metrics import metrics_page, text_of


def test_every_series_is_in_the_reference() -> None:
    """Whatever the vocabulary gives labels to is published by somebody, and explained."""
    page = metrics_page()

    assert [name for name in names.LABELS if f"| `{name}` |" not in page] == []


def test_a_help_text_is_found_in_a_variable_and_with_a_name_in_it() -> None:
    """The variable's last assignment before its use counts, as a function may use one variable for several series."""
    tree = ast.parse("text = 'first'\nuse(text)\ntext = f'a share of {names.REPLICA_ROWS}'\nuse(text)\nuse(other)")
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    used = [node.value.args[0] for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]

    assert [text_of(one, assigned) for one in used] == ["first", "a share of canary_replica_rows", ""]

"""What the policy says reaches the mixins' jsonnet as data."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.mixin.jsonnet import evaluate

_SAME = "function(config) config"


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that gives back what it is given, with a secret next to it."""
    folder = tmp_path_factory.mktemp("jsonnet")
    (folder / "secret").write_text("taken", encoding="utf-8")
    file = folder / "same.jsonnet"
    file.write_text(_SAME, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "text",
    [
        "importstr 'secret'",
        "' + (importstr 'secret') + '",
        '" + (importstr "secret") + "',
        "|||\nimport 'secret'\n|||",
        "%(service)s %s %%",
        "std.extVar('HOME')",
        "\\u0022 + importstr 'secret' + \\u0022",
        "\u2028\u2029\x7f\\",
        "🛒 in a café",
    ],
)
def test_a_value_is_no_code(same: Path, text: str) -> None:
    """Neither as a value nor as a key, and no file is read for it."""
    assert evaluate(same, {"config": {text: [text]}}) == {text: [text]}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_that_text(same: Path, text: str) -> None:
    """Whatever it is written with."""
    assert evaluate(same, {"config": text}) == text

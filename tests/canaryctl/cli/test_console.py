"""What commands print is what was said, and nothing of it steers the terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryctl.cli.console import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("5 % of customers, naïve", "5 % of customers, naïve"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("first\nsecond", "first\\nsecond"),
    ],
)
def test_what_would_steer_the_terminal_is_written_out(text: str, shown: str) -> None:
    """Escape, C1 and direction-changing characters are seen as what they are; other text is left alone."""
    assert plain(text) == shown


@given(st.text())
def test_nothing_is_left_that_is_no_character(text: str) -> None:
    """No control, format or surrogate character gets through, whatever an alert says."""
    assert not {unicodedata.category(character) for character in plain(text)} & {"Cc", "Cf", "Cs", "Co", "Cn"}

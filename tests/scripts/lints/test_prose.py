"""The words that are not written, and where they are looked for."""

import pytest

from scripts.lints.prose import faults


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ("The receiver stands beside Prometheus.", "next to"),
        ("Two untold messages.", "pending"),
        ("The canary's share is 5%.", "traffic weight"),
        ("Prometheus cannot be asked.", "unreachable"),
        ("The evidence is 10^2.", "e-value"),
    ],
)
def test_a_word_of_our_own_is_found_with_the_better_one(text: str, better: str) -> None:
    """In a page, a comment, a docstring and a message, with its line."""
    for path, written in (
        ("docs/x.md", f"# X\n{text}\n"),
        ("x.py", f"x = 1\n# {text}\n"),
        ("x.py", f'x = 1\ny = "{text}"\n'),
        ("x.py", f'"""X.\n{text}\n"""\n'),
        ("x.libsonnet", f"{{\n  summary: '{text}',\n"),
    ):
        (found,) = faults(path, written)
        assert found.startswith(f"{path}:2: ")
        assert better in found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("docs/x.md", "The key `lifts` and `untold` of [status](untold.md)."),
        ("docs/x.md", "```console\n$ echo beside\n```"),
        ("x.py", 'KIND = "noted"'),
        ("x.py", "untold = 1"),
        ("docs/x.md", "Besides, the canary's share of visits begins against odds."),
    ],
)
def test_names_and_code_are_left_alone(path: str, text: str) -> None:
    """What a program reads keeps its name: words alone, code, addresses; and so do words that only begin alike."""
    assert list(faults(path, text)) == []

"""What is too long is found, and may stay where it says why."""

from scripts.lints.lengths import too_long

_BODY = "\n".join("    x = 1" for _ in range(40))


def test_a_long_function_is_named_with_its_line() -> None:
    """41 lines are one too many, with the line of `def` among them."""
    assert list(too_long("a.py", f'"""A."""\n\ndef f() -> None:\n{_BODY}\n')) == [
        "a.py:3: f has 41 lines, expected at most 40"
    ]
    assert list(too_long("a.py", f"def f() -> None:\n{_BODY.removesuffix('    x = 1')}")) == []


def test_a_reason_excuses_a_function() -> None:
    """Where its head says why, also when that is spread over lines; a comment in its body is none."""
    assert list(too_long("a.py", f"def f() -> None:  # long: one table\n{_BODY}\n")) == []
    assert list(too_long("a.py", f"def f(\n    x: int,\n) -> None:  # long: one table\n{_BODY}\n")) == []
    assert list(too_long("a.py", f"def f() -> None:\n{_BODY}\n    # long: one table\n"))


def test_a_long_file_is_named_unless_it_is_a_list_of_tests() -> None:
    """More than 300 lines, without a reason."""
    text = "x = 1\n" * 301

    assert list(too_long("a.py", text)) == ["a.py: 301 lines, expected at most 300"]
    assert list(too_long("a.py", f"# long: one table\n{text}")) == []
    assert list(too_long("tests/test_a.py", text)) == []
    assert list(too_long("a.py", "x = 1\n" * 300)) == []

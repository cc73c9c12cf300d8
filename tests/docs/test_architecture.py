"""The map: every path on it exists, and its counts are of the files that it names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_TEXT = (_ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

_BASES = ("", "alertmanager/receiver")
"""A path may begin in the folder that its line has just named."""
_ENDINGS = ("", ".py", ".md")


def _expanded(text: str) -> Iterator[str]:
    """`a/{b,c/d}` -> `a/b`, `a/c/d`."""
    head, brace, rest = text.partition("{")
    if not brace:
        yield text
        return
    inside, _, tail = rest.partition("}")
    for part in inside.split(","):
        yield f"{head}{part}{tail}"


def _paths(text: str) -> list[str]:
    """Everything in backticks that is written as a path of the repository."""
    quoted = re.findall(r"`([\w{},./-]+)`", text)
    return [path for one in quoted if "/" in one.strip("/") and one[0] != "/" for path in _expanded(one)]


def _exists(path: str) -> bool:
    return any((_ROOT / base / f"{path}{ending}").exists() for base in _BASES for ending in _ENDINGS)


_FLOWS = re.findall(r"^\| ([^|]+) \| \d+ \| (\d+) \| ([^|]+) \|$", _TEXT, re.MULTILINE)


@pytest.mark.parametrize("path", sorted({*_paths(_TEXT), *re.findall(r"^([a-z]+/)", _TEXT, re.MULTILINE)}))
def test_a_path_on_the_map_exists(path: str) -> None:
    """A person finds what it names."""
    assert _exists(path)


@pytest.mark.parametrize(("what", "count", "through"), _FLOWS, ids=[what for what, _, _ in _FLOWS])
def test_a_flow_passes_through_as_many_files_as_it_says(what: str, count: str, through: str) -> None:
    """Each is one file."""
    files = _paths(through)

    assert len(files) == len(set(files)) == int(count), what
    assert all((_ROOT / f"{path}.py").is_file() for path in files)


def test_the_map_tells_of_all_flows() -> None:
    """Five things are followed."""
    assert len(_FLOWS) == 5

"""A YAML file with the line of every key."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import PolicyError
from canary.policy.reading.document import read_document


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "canary.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    """Lines are those an editor shows, for keys and for items of lists."""
    document = read_document(written(tmp_path, "a: 1\nb:\n  c: x\n  d:\n    - y\n    - {e: z}\n"))

    assert document.lines[("b", "d", 1)] == 6
    assert document.lines[("b", "d", 1, "e")] == 6
    assert document.lines[("b", "c")] == 3
    assert document.sources[("a",)] == "1"


def test_a_fault_of_a_missing_place_names_the_nearest_line(tmp_path: Path) -> None:
    """What is missing is reported at the section that lacks it."""
    document = read_document(written(tmp_path, "a: 1\nb:\n  c: x\n"))

    fault = document.fault(("b", "missing", "deep"), "is missing", "add it")

    assert (fault.place, fault.line) == ("canary.yaml:2: b.missing.deep", 2)
    assert str(fault) == "canary.yaml:2: b.missing.deep: is missing; add it"


def test_switches_stay_text(tmp_path: Path) -> None:
    """`on`, `off`, `yes` and `no` are keys and names of a policy, not booleans; `true` and `false` are."""
    document = read_document(written(tmp_path, "on: off\nx: yes\ny: true\nz: 2026-01-01\n"))

    assert document.data == {"on": "off", "x": "yes", "y": True, "z": "2026-01-01"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "canary.yaml:3: a: duplicate key; the first is on line 1"),
        ("a:\n  b: 1\n  b: 2\n", "canary.yaml:3: a.b: duplicate key; the first is on line 2"),
        ("1: x\n", 'YAML reads this key as something else than text; write it quoted: "1"'),
        ("? [a, b]\n: c\n", "canary.yaml:1: a key must be plain text"),
        ("a: [\n", "canary.yaml:2: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: &x {b: *x}\n", "canary.yaml:1: a.b: this alias contains itself"),
        (
            "a: !!python/object/apply:os.system ['true']\n",
            "canary.yaml:1: not valid YAML: tags are not read;",
        ),
        ("- a\n", "expected a mapping of sections"),
    ],
)
def test_what_yaml_would_swallow_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """Repeated keys, keys that are no text, loops and tags are faults with a line, not surprises."""
    with pytest.raises(PolicyError) as caught:
        read_document(written(tmp_path, text))

    assert expected in str(caught.value)


def test_a_missing_file_says_how_to_name_another(tmp_path: Path) -> None:
    """Without a policy there, the message names the option."""
    with pytest.raises(PolicyError, match=r"cannot be read \(No such file or directory\); name another with --config"):
        read_document(tmp_path / "nowhere.yaml")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    """A file that is not UTF-8 is named as such."""
    path = tmp_path / "canary.yaml"
    path.write_bytes(b"service: caf\xe9\n")

    with pytest.raises(PolicyError, match="is not UTF-8 text"):
        read_document(path)


_PLAIN = st.recursive(
    st.booleans() | st.integers(-1000, 1000) | st.text(st.characters(codec="ascii", categories=["L"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=8), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(data=st.dictionaries(st.sampled_from(["alpha", "beta", "gamma"]), _PLAIN, min_size=1))
def test_what_is_written_is_what_is_read(data: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Plain data survive writing and strict reading, and every top-level key has a line."""
    path = written(tmp_path_factory.mktemp("document"), yaml.safe_dump(data))

    document = read_document(path)

    assert document.data == data
    assert all((key,) in document.lines for key in data)

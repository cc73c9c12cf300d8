"""Whatever stands in a policy file, the loader answers with a policy or with faults: never with a traceback."""

import itertools
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary.errors import Fault, PolicyError
from canary.policy import load_policy
from canary.policy.reading.document import MAX_BYTES, MAX_VALUES

ROOT = Path(__file__).resolve().parents[3]
STRATEGY = (ROOT / "canary.yaml").read_text(encoding="utf-8").splitlines()


def refused(folder: Path, content: bytes | str) -> PolicyError:
    """The faults of a file that must have some, each with file and line where there is one."""
    path = folder / "canary.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert all(fault.place and fault.what and "\n" not in str(fault) for fault in caught.value.faults)
    return caught.value


def faults_of(path: Path) -> tuple[Fault, ...] | None:
    """The file's faults; None when it is a policy."""
    try:
        load_policy(path)
    except PolicyError as error:
        return error.faults
    return None


def bomb(levels: int, width: int) -> str:
    """Few bytes whose aliases unfold to `width ** levels` values."""
    names = [f"a{level}" for level in range(levels)]
    first = f"{names[0]}: &{names[0]} [{', '.join(['x'] * width)}]\n"
    return first + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * width)}]\n" for before, name in itertools.pairwise(names)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("service: sh\x07op\n", "canary.yaml:1: not valid YAML: the character U+0007 is not allowed"),
        ("service: shop\nstate: {url: a\x00}\n", "canary.yaml:2: not valid YAML: the character U+0000 is not allowed"),
        ('service: "sh\\aop"\n', "canary.yaml:1: service: holds the control character U+0007"),
        ('service: "\\ud800"\n', "canary.yaml:1: service: holds the control character U+D800"),
        ('service: shop\n"a\\0b": 1\n', "canary.yaml:2: a?b: holds the control character U+0000"),
        ("service: !!int x\n", "canary.yaml:1: not valid YAML: tags are not read"),
        ("service: !!binary eHg=\n", "tags are not read"),
        ("service: !!set {a}\n", "tags are not read"),
        ("service: !shop x\n", "tags are not read"),
        (
            "service: shop\ndatabase: {max_currencies: " + "9" * 6000 + "}\n",
            "canary.yaml:2: database.max_currencies: a number",
        ),
        ("service: shop\ndatabase: {max_currencies: 1.0e+999}\n", "canary.yaml:2: database.max_currencies: a number"),
        ("service: shop\ndatabase: {timezone: Europe}\n", "no time zone 'Europe'; write one such as Asia/Karachi"),
        ("service: shop\ndatabase: {timezone: ../../etc/passwd}\n", "canary.yaml:2: database.timezone: expected"),
        ("service: " + "[" * 5000 + "\n", "canary.yaml:1: not valid YAML: nested more than"),
        ("service: " + "{a: " * 5000 + "\n", "canary.yaml:1: not valid YAML: nested more than"),
        (bomb(9, 9), f"more than {MAX_VALUES} values, aliases unfolded"),
        (bomb(60, 1), "nested more than"),
        ("a: " + "x" * MAX_BYTES, "has more than 128 KiB"),
        ("".join(f"k{number}: 1\n" for number in range(9000)), "and 8801 faults more"),
        ("service: shop\nkpis: *nowhere\n", "canary.yaml:2: not valid YAML: found undefined alias"),
        ("- - -\n", "expected a mapping of sections"),
        ("%YAML 9.9\n---\nservice: shop\n", "canary.yaml:1: not valid YAML"),
        ("=: x\n", "=: unknown key"),
        ("<<: {service: shop}\n", "<<: unknown key"),
    ],
)
def test_what_attacks_a_parser_is_a_fault_with_a_line(tmp_path: Path, text: str, expected: str) -> None:
    """Control characters, tags, endless numbers, depth, aliases and size end in a sentence."""
    assert expected in str(refused(tmp_path, text))


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """Aliases that would unfold to gigabytes are refused before anything is built from them."""
    path = tmp_path / "canary.yaml"
    path.write_text(bomb(12, 9), encoding="utf-8")

    tracemalloc.start()
    with pytest.raises(PolicyError):
        load_policy(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 30e6


def test_a_file_without_an_end_is_not_read_to_its_end() -> None:
    """A device is refused after as much as a policy may have."""
    with pytest.raises(PolicyError, match="has more than 128 KiB"):
        load_policy("/dev/zero")


@pytest.mark.parametrize("name", ["nowhere\x00.yaml", "", "x" * 300])
def test_a_name_that_is_no_file_is_a_fault(name: str) -> None:
    """So is what the operating system refuses as a name."""
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(name)


_WORDS = """
~ true -1 0 0s 999999999999d 1e999 .inf [] {} [[]] ' " "\\x00" "\\ud800" !x *a - # | > % @ ` << = ? é 2026-01-01 Europe
http://[::1 mon-xxx
"""
_NASTY = st.sampled_from(
    [
        *_WORDS.split(),
        *("", "9" * 5000, "x" * 3000, "{a: b}", "!!int x", "&a [*a]", "&b b", "a: b: c", "- x", "? x"),
        *("\u2028", "\x85", "\x1b[31m"),
    ]
)
_WAYS = st.sampled_from(["value", "value", "value", "key", "drop", "repeat", "swap", "indent", "insert", "cut"])


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """The repository's policy with some lines lost, repeated, moved, indented otherwise, or with another value."""
    lines = list(STRATEGY)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        match draw(_WAYS):
            case "value":
                lines[at] = f"{line.partition(':')[0]}: {draw(_NASTY)}"
            case "key":
                lines[at] = f"{draw(_NASTY)}:{line.partition(':')[2]}"
            case "drop":
                del lines[at]
            case "repeat":
                lines.insert(at, line)
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], line
            case "indent":
                lines[at] = draw(st.sampled_from(["", "  ", "\t", " "])) + line.strip()
            case "insert":
                lines.insert(at, draw(_NASTY | st.text(max_size=20)))
            case _:
                lines[at] = line[: draw(st.integers(0, len(line)))]
    return "\n".join(lines) + "\n"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=mutations())
def test_every_mutation_is_a_policy_or_faults(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hundreds of damaged policies: each loads, or names its faults on one line each."""
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    told = faults_of(path)

    assert told is None or told
    assert all(fault.place and fault.what and len(str(fault).splitlines()) == 1 for fault in told or ())


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_policy_or_faults(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No file at all ends in another exception."""
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)

    told = faults_of(path)

    assert told is None or told

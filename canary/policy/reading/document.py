"""A YAML file with the line of every key, read strictly: no duplicate keys, no surprising scalars, no bombs.

YAML is far more than a policy needs, and each surplus has cost somebody an evening: `on` is true, `1:30` is 90, `010`
is 8, `!!int x` and a control character end in the parser's own exception, and a file of 400 bytes whose aliases name
aliases unfolds to gigabytes. So the file is read as the JSON-like part of YAML that people write:

* `true` and `false` are the only booleans, numbers are decimal and finite, everything else is text as it stands there;
* tags are refused, except `!!str`;
* the file's size, its depth, and the number of values that it unfolds to are bounded *before* anything is built of it.

Whatever is wrong becomes a `Fault` with its line; nothing that a file may hold ends in another exception.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from canary.errors import Fault, PolicyError

Location = tuple[str | int, ...]

MAX_BYTES: Final = 128 * 1024
"""Thirty times the longest policy that we know; PyYAML reads as much in about a second."""
MAX_DEPTH: Final = 24
"""Three times as deep as a policy can be; PyYAML and this reader call themselves once per level."""
MAX_VALUES: Final = 20_000
"""Values after every alias is unfolded; a policy of 100 KiB without aliases has fewer."""
_MAX_DIGITS: Final = 18
"""A longer whole number is no quantity of anything, and Python refuses to print the longest."""
_STR: Final = "tag:yaml.org,2002:str"
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Everything that a terminal, a log line or a configuration file would take for something else than text."""


@dataclass(frozen=True)
class Document:
    """What a YAML file says: plain data, the line of each place, the source text of each scalar."""

    path: Path
    data: dict[str, Any]
    lines: dict[Location, int]
    sources: dict[Location, str]

    def fault(self, location: Location, what: str, remedy: str = "") -> Fault:
        """A fault at the nearest place that the file has."""
        place = location
        while place and place not in self.lines:
            place = place[:-1]
        return _fault(self.path, self.lines.get(place, 1), location, what, remedy)


def _fault(path: Path, line: int, location: Location, what: str, remedy: str = "") -> Fault:
    dotted = ".".join(_step(part) for part in location)
    place = f"{path.name}:{line}: {dotted}" if dotted else f"{path.name}:{line}"
    return Fault(place, what, remedy, line)


def _step(part: str | int) -> str:
    """A key as a message shows it: on one line, whatever stands in the file."""
    text = _UNPRINTABLE.sub("?", str(part)).replace("\n", " ")
    return text if len(text) <= 80 else f"{text[:80]}..."


class _Loader(yaml.SafeLoader):
    """YAML's JSON-like part, so that everything read is also JSON."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node; refuses tags, and what is nested too deep to be followed."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # types-PyYAML leaves it out
        if getattr(event, "tag", None) not in (None, "!", _STR):
            raise yaml.composer.ComposerError(
                None, None, "tags are not read; write the value plainly, text in quotes", event.start_mark
            )
        if self.depth >= MAX_DEPTH:
            raise yaml.composer.ComposerError(
                None, None, f"nested more than {MAX_DEPTH} deep; no policy is", event.start_mark
            )
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def read_document(path: Path) -> Document:
    """Read a YAML mapping.

    Raises:
        PolicyError: the file cannot be read, is not YAML, is not a mapping, or holds what a policy never needs; all
            faults of one kind at once.
    """
    text = _text(path)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise PolicyError([_fault(path, 1, (), "expected a mapping of sections, such as `service: shop`")])
            walk = _Walk(path)
            walk.mapping(node, ())
            if walk.faults:
                raise PolicyError(walk.faults)
            data = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"not valid YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        raise PolicyError([_fault(path, line, (), what)]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PolicyError([_fault(path, line, (), f"not valid YAML: {error.problem}")]) from error
    return Document(path=path, data=data, lines=walk.lines, sources=walk.sources)


def _text(path: Path) -> str:
    """The file's text, never more of it than a policy may have."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise PolicyError(
            [
                Fault(
                    str(path),
                    f"cannot be read ({reason})",
                    "name another with --config.file, or let `canary init` write one",
                )
            ]
        ) from error
    if len(content) > MAX_BYTES:
        raise PolicyError([Fault(str(path), f"has more than {MAX_BYTES // 1024} KiB; no policy is so long")])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError([Fault(str(path), f"is not UTF-8 text (byte {error.start})")]) from error


class _Walk:
    """Collects lines, scalar sources and what is refused from the node tree, with every alias unfolded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Location, int] = {}
        self.sources: dict[Location, str] = {}
        self.faults: list[Fault] = []
        self._open: list[yaml.Node] = []
        self._values = 0

    def mapping(self, node: yaml.MappingNode, at: Location) -> None:
        """A mapping's keys, then their values."""
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(line, at, "a key must be plain text")
                continue
            place = (*at, key.value)
            if key.tag != _STR:
                what = "YAML reads this key as something else than text"
                self._refuse(line, place, what, f'write it quoted: "{key.value}"')
            if key.value in seen:
                self._refuse(line, place, "duplicate key", f"the first is on line {seen[key.value]}")
            self._printable(key.value, line, place)
            seen.setdefault(key.value, line)
            self.lines[place] = line
            self._value(value, place)

    def _value(self, node: yaml.Node, at: Location) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            if self._values == MAX_VALUES + 1:
                self._refuse(self.lines[at], at, f"more than {MAX_VALUES} values, aliases unfolded; no policy has them")
            return
        if any(node is outer for outer in self._open):
            self._refuse(self.lines[at], at, "this alias contains itself")
            return
        if len(self._open) >= MAX_DEPTH:
            self._refuse(self.lines[at], at, f"nested more than {MAX_DEPTH} deep; no policy is")
            return
        self._open.append(node)
        self._inside(node, at)
        self._open.pop()

    def _inside(self, node: yaml.Node, at: Location) -> None:
        if isinstance(node, yaml.MappingNode):
            self.mapping(node, at)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[(*at, index)] = item.start_mark.line + 1
                self._value(item, (*at, index))
        else:
            self.sources[at] = node.value
            self._printable(node.value, self.lines[at], at)
            kind = node.tag.rpartition(":")[2]
            too_long = kind == "int" and len(node.value) > _MAX_DIGITS
            if too_long or (kind == "float" and not math.isfinite(float(node.value))):
                self._refuse(self.lines[at], at, "a number of this size is no quantity of anything")

    def _printable(self, text: str, line: int, at: Location) -> None:
        if found := _UNPRINTABLE.search(text):
            self._refuse(line, at, f"holds the control character U+{ord(found[0]):04X}, which a policy never needs")

    def _refuse(self, line: int, at: Location, what: str, remedy: str = "") -> None:
        self.faults.append(_fault(self.path, line, at, what, remedy))

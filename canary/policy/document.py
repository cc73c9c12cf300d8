"""A YAML file with the line of every key, read strictly: no duplicate keys, no surprising scalars."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from canary.errors import PolicyError

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """What a YAML file says: plain data, the line of each place, the source text of each scalar."""

    path: Path
    data: dict[str, Any]
    lines: dict[Location, int]
    sources: dict[Location, str]

    def fault(self, location: Location, text: str) -> str:
        """One printable line `file:line: path: text` for the nearest place that the file has."""
        place = location
        while place and place not in self.lines:
            place = place[:-1]
        dotted = ".".join(str(part) for part in location)
        prefix = f"{self.path.name}:{self.lines.get(place, 1)}: "
        return f"{prefix}{dotted}: {text}" if dotted else f"{prefix}{text}"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without timestamps, so that everything read is also JSON, and with only `true` and `false` as booleans.

    YAML 1.1 would also read `on`, `off`, `yes`, `no` as booleans: keys and names that a policy has.
    """


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":merge", ":bool"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def read_document(path: Path) -> Document:
    """Read a YAML mapping.

    Raises:
        PolicyError: the file cannot be read, is not YAML, is not a mapping, or repeats keys; all repeats at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError([f"{path}: cannot be read ({error.strerror}); name another with --config.file"]) from error
    except UnicodeDecodeError as error:
        raise PolicyError([f"{path}: is not UTF-8 text (byte {error.start})"]) from error
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise PolicyError([f"{path.name}:1: expected a mapping of sections, such as `service: shop`"])
        walk = _Walk(path)
        walk.mapping(node, ())
        if walk.faults:
            raise PolicyError(walk.faults)
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PolicyError([f"{path.name}:{line}: not valid YAML: {error.problem}"]) from error
    except yaml.YAMLError as error:
        raise PolicyError([f"{path.name}:1: not valid YAML: {error}"]) from error
    finally:
        loader.dispose()
    return Document(path=path, data=data, lines=walk.lines, sources=walk.sources)


class _Walk:
    """Collects lines, scalar sources and repeated keys from the node tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Location, int] = {}
        self.sources: dict[Location, str] = {}
        self.faults: list[str] = []
        self._open: list[yaml.Node] = []

    def mapping(self, node: yaml.MappingNode, at: Location) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(f"{self.path.name}:{key.start_mark.line + 1}: a key must be plain text")
                continue
            line = key.start_mark.line + 1
            place = (*at, key.value)
            if key.tag != "tag:yaml.org,2002:str":
                self.faults.append(
                    f"{self.path.name}:{line}: {'.'.join(map(str, place))}: YAML reads this key as something else "
                    f'than text; write it quoted: "{key.value}"'
                )
            if key.value in seen:
                self.faults.append(
                    f"{self.path.name}:{line}: {'.'.join(map(str, place))}: duplicate key; "
                    f"the first is on line {seen[key.value]}"
                )
            seen.setdefault(key.value, line)
            self.lines[place] = line
            self.value(value, place)

    def value(self, node: yaml.Node, at: Location) -> None:
        if any(node is outer for outer in self._open):
            self.faults.append(
                f"{self.path.name}:{self.lines[at]}: {'.'.join(map(str, at))}: this alias contains itself"
            )
            return
        self._open.append(node)
        self._value(node, at)
        self._open.pop()

    def _value(self, node: yaml.Node, at: Location) -> None:
        if isinstance(node, yaml.MappingNode):
            self.mapping(node, at)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[(*at, index)] = item.start_mark.line + 1
                self.value(item, (*at, index))
        else:
            self.sources[at] = node.value

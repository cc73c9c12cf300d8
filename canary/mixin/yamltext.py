"""YAML as people would write it: keys in our order, no wrapped lines, expressions of several lines as blocks."""

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, and never writes anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # PyYAML's signature
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


class AsWritten(str):
    """A number, a moment or a yes of somebody else's file, by its letters: which of them it is, its program knows.

    Go's programs read it by the field that it stands for. PyYAML goes by YAML 1.1, where `22:00` is 1320, `012` is 10,
    `no` is false and 1.10 loses its nought: written back as that, it would be another time, password or label.
    """

    __slots__ = ("tag",)
    tag: str

    @classmethod
    def of(cls, _loader: yaml.SafeLoader, node: yaml.ScalarNode) -> "AsWritten":
        """The letters, and what YAML 1.1 takes them for: what is taken for that anyway needs no tag."""
        text = cls(node.value)
        text.tag = node.tag
        return text


class _Loader(yaml.SafeLoader):
    """Leaves open what Go's programs decide."""


for _kind in ("bool", "int", "float", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", AsWritten.of)


_Dumper.add_representer(AsWritten, lambda dumper, text: dumper.represent_scalar(text.tag, str(text)))


_MOST_VALUES = 1_000_000
"""With every alias written out, as `dump` writes them; a file of thousands of jobs has fewer."""


def load_as_written(text: str) -> Any:
    """One YAML document of somebody else's, which `dump` writes with the same values.

    Raises:
        yaml.YAMLError: it is none, or never ends when its aliases are written out.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _written_out(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _written_out(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """How many values a node is without aliases; *sizes* has those of nodes seen, and none for those that are open."""
    if id(node) not in sizes:
        sizes[id(node)] = None
        inside = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        parts = [] if isinstance(node, yaml.ScalarNode) else inside
        sizes[id(node)] = 1 + sum(_written_out(part, sizes) for part in parts)
    size = sizes[id(node)]
    if size is None:
        raise yaml.MarkedYAMLError(problem="an alias in it contains itself", problem_mark=node.start_mark)
    if size > _MOST_VALUES:
        raise yaml.MarkedYAMLError(
            problem=f"more than {_MOST_VALUES:,} values when its aliases are written out", problem_mark=node.start_mark
        )
    return size


def dump(data: Any) -> str:
    """One YAML document."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=10**6, allow_unicode=True)

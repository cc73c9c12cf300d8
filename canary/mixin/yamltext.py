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


def load_as_written(text: str) -> Any:
    """One YAML document of somebody else's, which `dump` writes with the same values.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader


def dump(data: Any) -> str:
    """One YAML document."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=10**6, allow_unicode=True)

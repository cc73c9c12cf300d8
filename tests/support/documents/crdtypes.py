"""Types of the fields of Kubernetes resources: each gives the faults of a value."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Type = Callable[[Any], Iterator[tuple[str, str]]]
"""Gives the faults of a value: the place below it, and what is wrong."""


def text(pattern: str = r"(?s:.*)") -> Type:
    """A text that matches as a whole."""

    def check(value: Any) -> Iterator[tuple[str, str]]:
        if not isinstance(value, str):
            yield "", f"expected text, found {value!r}"
        elif re.fullmatch(pattern, value) is None:
            yield "", f"expected {pattern}, found {value!r}"

    return check


def integer(value: Any) -> Iterator[tuple[str, str]]:
    """A whole number that is not negative; none of ours is."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        yield "", f"expected a whole number, found {value!r}"


def boolean(value: Any) -> Iterator[tuple[str, str]]:
    """True or false."""
    if not isinstance(value, bool):
        yield "", f"expected true or false, found {value!r}"


def texts(keys: str = r".+", values: str = r"(?s:.*)") -> Type:
    """A map of texts."""

    def check(value: Any) -> Iterator[tuple[str, str]]:
        if not isinstance(value, Mapping):
            yield "", f"expected a map, found {value!r}"
            return
        for key, content in value.items():
            yield from ((f".{key}{place}", fault) for place, fault in text(keys)(key))
            yield from ((f".{key}{place}", fault) for place, fault in text(values)(content))

    return check


def mapping(of: Type) -> Type:
    """A map whose values are of a type."""

    def check(value: Any) -> Iterator[tuple[str, str]]:
        if not isinstance(value, Mapping):
            yield "", f"expected a map, found {value!r}"
            return
        for key, content in value.items():
            yield from ((f".{key}{place}", fault) for place, fault in of(content))

    return check


def items(of: Type, unique: Callable[[Any], Any] | None = None) -> Type:
    """A list.

    Args:
        unique: What no two items may share (`x-kubernetes-list-map-keys`, or the item itself in a set).
    """

    def check(value: Any) -> Iterator[tuple[str, str]]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            yield "", f"expected a list, found {value!r}"
            return
        for index, item in enumerate(value):
            yield from ((f"[{index}]{place}", fault) for place, fault in of(item))
        if unique and len({unique(item) for item in value}) < len(value):
            yield "", "two items are the same to Kubernetes"

    return check


@dataclass(frozen=True)
class Fields:
    """An object: the fields that it must have, and those that it may."""

    required: Mapping[str, Type]
    optional: Mapping[str, Type]

    def __call__(self, value: Any) -> Iterator[tuple[str, str]]:
        """The faults of a value."""
        if not isinstance(value, Mapping):
            yield "", f"expected fields, found {value!r}"
            return
        known = {**self.required, **self.optional}
        yield from ((f".{key}", "is missing") for key in self.required if key not in value)
        for key, content in value.items():
            if key not in known:
                yield f".{key}", "is no field"
            else:
                yield from ((f".{key}{place}", fault) for place, fault in known[key](content))

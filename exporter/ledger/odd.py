"""Odd values of one event, each told of once however often its row is read.

A row is read again for as long as it may change, at every refresh while it is new. Counted each time, one bad row would
look like a flood; so what was told is remembered, up to a number that no working shop reaches.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from exporter.source.columns.values import shape

_REMEMBERED = 10_000
"""Odd values that are remembered; a shop with more of them is told of the same ones again, which does no harm."""

Report = Callable[[str, str, str, str], None]
"""Takes an odd value: its kind, its stream's name, the row, and what it looks like."""


def unreported(_kind: str, _stream: str, _row: str, _value: str) -> None:
    """Reports to nobody."""


@dataclass
class OddValues:
    """Passes on what is found odd in one stream.

    Attributes:
        stream: its name.
        report: told of each odd value once.
    """

    stream: str
    report: Report = unreported
    _told: set[tuple[str, str]] = field(default_factory=set)

    def found(self, kind: str, row: Any, value: Any) -> None:
        """Tell of one odd value, unless that was done before."""
        self.told(kind, "" if row is None else str(row)[:64], shape(value))

    def told(self, kind: str, row: str, what: str) -> None:
        """The same with words that may be shown as they are."""
        key = (kind, row or what)
        if key in self._told:
            return
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told.add(key)
        self.report(kind, self.stream, row, what)

"""What survives a restart: since when rows are counted, and what the counters had reached.

Without it, a restart would begin to count a later stretch of the past (`database.since` back from now), every counter
would be lower than before, and Prometheus would see a reset and a burst of orders. The rows themselves are not saved:
the database has them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, TypeAdapter

from canary import files
from canary.logs import Log
from exporter.publish.counters import Series

_FORMAT = 1
"""Raised when the file's meaning changes: another version's file is not continued."""
_MOST_BYTES = 64 * 1024**2
"""Counters by version and currency take kilobytes; what is larger is not ours."""

_COUNTERS = TypeAdapter(list[tuple[str, str, str, int]])
_SINCE = TypeAdapter(FiniteFloat)


@dataclass(frozen=True)
class Remembered:
    """The state of an earlier run.

    Attributes:
        since: rows are counted from this moment on, seconds since the epoch.
        values: what each counter had reached.
    """

    since: float
    values: Mapping[Series, int] = field(default_factory=dict)


class StateFile:
    """A small JSON file, replaced as a whole, so that a crash leaves the old one or the new one."""

    def __init__(self, path: Path, identity: str) -> None:
        """Remember under *identity*: the file of another service or another database is not ours to continue."""
        self._path = path
        self._identity = identity
        self._log = Log("exporter")
        self._unwritten = False

    def ours(self) -> bool:
        """Whether the file is there, and is this service's."""
        try:
            data = json.loads(files.read_own(self._path, _MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(data, dict) and data.get("identity") == self._identity

    def read(self) -> Remembered | None:
        """The earlier run's state; None when there is none that can be used."""
        try:
            data = json.loads(files.read_own(self._path, _MOST_BYTES))
            if data["format"] != _FORMAT or data["identity"] != self._identity:
                self._log.warn("state file is of another shop; counters restart", file=self._path)
                return None
            counters = _COUNTERS.validate_python(data["counters"])
            values = {Series(metric, version, label): amount for metric, version, label, amount in counters}
            return Remembered(_SINCE.validate_python(data["since"]), values)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._log.warn("state file cannot be used; counters restart", file=self._path, error=error)
            return None

    def write(self, since: float, values: Mapping[Series, int]) -> None:
        """Replace the file; a fault is logged once, because counting goes on without it."""
        data: dict[str, Any] = {
            "format": _FORMAT,
            "identity": self._identity,
            "since": since,
            "counters": [[*series, amount] for series, amount in values.items()],
        }
        try:
            files.replace(self._path, json.dumps(data).encode())
        except OSError as error:
            if not self._unwritten:
                self._log.warn("state file cannot be written", file=self._path, error=error)
            self._unwritten = True
        else:
            if self._unwritten:
                self._log.info("state file can be written again", file=self._path)
            self._unwritten = False

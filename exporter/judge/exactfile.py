"""What the exact half has seen and spent, in a file, so that a restart neither spends alpha twice nor forgets harm.

The quick half's evidence can be computed again from the rows. The exact half's cannot quite: each of its looks was made
on what was known *then*, and rows that have changed since do not tell what that was. So its state is written after each
look, before anything that follows from the look is published. Where the file is lost, the rows are replayed by their
own times through the same looks, and the exporter says so.

A file replaced as a whole: a crash leaves the state before the look or after it, and either is a state to go on from.
It is not synced to the disk, which would cost more than it is worth: what a power cut damages is found by its checksum.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from canary.logs import Log

_FORMAT = 1
_HEADER = "header"
_RIGHTS = 0o640
"""The customers' keys in it are hashes, yet nobody outside the service's group has any business with them."""

Saved = Mapping[str, Mapping[str, npt.NDArray[Any]]]
"""By KPI, a test's arrays."""


class ExactFile:
    """One file for the newest rollout."""

    def __init__(self, path: Path, service: str) -> None:
        """The file of another *service* is not gone on from."""
        self._path = path
        self._service = service
        self._log = Log("exporter")

    def read(self, rollout: str) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """By KPI, what was saved of *rollout* (its id); nothing when there is no file that can be used."""
        found: dict[str, dict[str, npt.NDArray[Any]]] = {}
        try:
            with np.load(self._path, allow_pickle=False) as file:
                header = json.loads(file[_HEADER].tobytes())
                if header != self._header(rollout):
                    return {}
                for name in file.files:
                    kpi, _, array = name.partition("/")
                    if array:
                        found.setdefault(kpi, {})[array] = file[name]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            self._log.warn(
                "evidence file cannot be used; the rollout's rows are replayed", file=self._path, error=error
            )
            return {}
        return found

    def write(self, rollout: str, tests: Saved) -> None:
        """Replace the file; a fault is logged, because judging goes on without it."""
        arrays = {f"{kpi}/{name}": array for kpi, saved in tests.items() for name, array in saved.items()}
        header = np.frombuffer(json.dumps(self._header(rollout)).encode(), dtype=np.uint8)
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _RIGHTS), "wb") as file:
                np.savez(file, allow_pickle=False, **{_HEADER: header} | arrays)
            temporary.replace(self._path)
        except OSError as error:
            self._log.warn("evidence file cannot be written", file=self._path, error=error)
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _header(self, rollout: str) -> dict[str, Any]:
        return {"format": _FORMAT, "service": self._service, "rollout": rollout}

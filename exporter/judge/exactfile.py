"""What the exact half has seen and spent, in files, so that a restart neither spends alpha twice nor forgets harm.

The quick half's evidence can be computed again from the rows. The exact half's cannot quite: each of its looks was made
on what was known *then*, and rows that have changed since do not tell what that was. So its state is written after each
look, before anything that follows from the look is published. Where a file is lost, the rows are replayed by their own
times through the same looks, and the exporter says so.

A file for each KPI, replaced as a whole: a crash leaves the state before the look or after it, and either is a state to
go on from. It is not synced to the disk, which would cost more than it is worth: what a power cut damages is found by
its checksum.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from canary import files
from canary.logs import Log

_FORMAT = 1
"""Raised when the files' meaning changes: another version's are not gone on from."""
_HEADER = "header"
_FOLDER_RIGHTS = 0o750
"""The customers' keys in it are hashes, yet nobody outside the service's group has any business with them."""
_MOST_BYTES = 1024**3
"""Of a file: a few MB for a million customers."""

Arrays = Mapping[str, npt.NDArray[Any]]


class ExactFiles:
    """One folder for the newest rollout."""

    def __init__(self, folder: Path, service: str) -> None:
        """The files of another *service* are not gone on from."""
        self._folder = folder
        self._service = service
        self._log = Log("exporter")
        self._unwritten: set[str] = set()
        """KPIs whose file could not be written last time: a full disk is no better for a line at each look."""

    def read(self, rollout: str, kpi: str, counted: str) -> Arrays | None:
        """What was saved of a KPI in *rollout* (its id); None when there is no file that can be used.

        Args:
            counted: what the KPI counts, and by which columns. Saved customers would be counted twice by another one.
        """
        path = self._path(kpi)
        try:
            with np.load(io.BytesIO(files.read_own(path, _MOST_BYTES)), allow_pickle=False) as file:
                if json.loads(file[_HEADER].tobytes()) != self._header(rollout, counted):
                    return None
                return {name: file[name] for name in file.files if name != _HEADER}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            self._log.warn("evidence file cannot be used; the rollout's rows are replayed", file=path, error=error)
            return None

    def write(self, rollout: str, kpi: str, saved: Arrays, counted: str) -> None:
        """Replace a KPI's file; a fault is logged once, because judging goes on without it."""
        header = np.frombuffer(json.dumps(self._header(rollout, counted)).encode(), dtype=np.uint8)
        path = self._path(kpi)
        written = io.BytesIO()
        np.savez(written, allow_pickle=False, **{_HEADER: header} | dict(saved))
        try:
            self._folder.mkdir(_FOLDER_RIGHTS, exist_ok=True)
            files.replace(path, written.getvalue())
        except OSError as error:
            if kpi not in self._unwritten:
                self._log.warn("evidence file cannot be written", file=path, error=error)
            self._unwritten.add(kpi)
        else:
            if kpi in self._unwritten:
                self._log.info("evidence file can be written again", file=path)
            self._unwritten.discard(kpi)

    def _path(self, kpi: str) -> Path:
        return self._folder / f"{kpi}.npz"

    def _header(self, rollout: str, counted: str) -> dict[str, Any]:
        return {"format": _FORMAT, "service": self._service, "rollout": rollout, "counted": counted}

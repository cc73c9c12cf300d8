"""Files that a router reads, written where there is no space for a new one."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from canary.routers import files


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_on_a_full_disk_a_shorter_text_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback's file is shorter than a rollout's; half of the old one after it would be refused by its reader."""
    path = tmp_path / "canary.yml"
    files.write(path, '{"weight": 5000, "testers": ["a", "b"]}\n')
    monkeypatch.setattr(tempfile, "mkstemp", _full)
    files.write(path, '{"weight": 0}\n')

    assert path.read_text().rstrip() == '{"weight": 0}'


def test_on_a_full_disk_a_pipe_in_the_files_place_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads from it, and a rollback waits for nobody: that the disk is full is said, with what is there."""
    os.mkfifo(tmp_path / "canary.yml")
    monkeypatch.setattr(tempfile, "mkstemp", _full)

    with pytest.raises(OSError, match="No such device"):
        files.write(tmp_path / "canary.yml", "{}")

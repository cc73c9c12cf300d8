"""A log file that is rotated, truncated, deleted and full of garbage."""

import errno
import os
import shutil
from io import BufferedReader
from pathlib import Path

import pytest

from canary.files import open_regular
from exporter.follow.files import LogFile
from exporter.follow.rotated import Place


def _all(file: LogFile) -> list[bytes]:
    """What there is to read, until nothing comes for longer than a rotation takes."""
    found: list[bytes] = []
    for _ in range(60):
        found += file.read()[0]
    return found


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_lines_are_read_once_and_whole(tmp_path: Path) -> None:
    """A line without its end waits for it; no file is no fault."""
    path = tmp_path / "access.log"
    file = LogFile(path, None)
    assert _all(file) == []
    _append(path, "one\ntw")
    assert _all(file) == [b"one"]
    _append(path, "o\n")
    assert _all(file) == [b"two"]


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    """What is written to the renamed file until its writers reopen is read before the new one."""
    path = tmp_path / "access.log"
    _append(path, "one\n")
    file = LogFile(path, None)
    assert file.read()[0] == [b"one"]
    path.rename(tmp_path / "access.log.1")
    _append(tmp_path / "access.log.1", "two\n")
    _append(path, "three\n")
    assert _all(file) == [b"two", b"three"]
    assert file.gaps == 0


def test_truncation_begins_anew(tmp_path: Path) -> None:
    """A file that was truncated in place is read from its beginning, also when nobody looked meanwhile."""
    path = tmp_path / "access.log"
    _append(path, "one is long\n")
    file = LogFile(path, None)
    _, place = file.read()
    path.write_text("two\n")
    assert _all(file) == [b"two"]
    path.write_text("owt\n")
    assert _all(file) == [b"owt"]  # as long as before when it is looked at next
    path.write_text("three is much longer than one\n")
    assert _all(LogFile(path, place)) == [b"three is much longer than one"]


def test_what_was_copied_before_a_truncation_is_read_in_the_copy(tmp_path: Path) -> None:
    """Rotation by `copytruncate` loses nothing that was written before it, whether it was followed then or not."""
    path, older, copy = tmp_path / "access.log", tmp_path / "access.log.2", tmp_path / "access.log.1"
    older.write_text("nought\n")
    _append(path, "one\n")
    file = LogFile(path, None)
    _, place = file.read()
    _append(path, "two\n")
    shutil.copy(path, copy)
    path.write_text("three\n")

    assert _all(file) == _all(restarted := LogFile(path, place)) == [b"two", b"three"]
    assert file.gaps == restarted.gaps == 0


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """Through several rotations that happened meanwhile, oldest first; what is gone is one gap."""
    path = tmp_path / "access.log"
    _append(path, "one\n")
    _, place = LogFile(path, None).read()
    for number, text in ((2, "two\n"), (1, "three\n")):
        _append(path, text)
        path.rename(tmp_path / f"access.log.{number}")
    _append(path, "four\n")
    file = LogFile(path, place)
    assert _all(file) == [b"two", b"three", b"four"]
    assert file.gaps == 0
    (tmp_path / "access.log.2").unlink()
    gone = LogFile(path, place)
    assert _all(gone) == [b"three", b"four"]
    assert gone.gaps == 1


def test_what_is_gone_is_one_gap_however_often_it_is_looked_for(tmp_path: Path) -> None:
    """Also while there is no file at all: a shop that is still closed after a restart is no loss a second."""
    path = tmp_path / "access.log"
    _append(path, "one\n")
    _, place = LogFile(path, None).read()
    path.unlink()
    file = LogFile(path, place)
    assert _all(file) == []
    _append(path, "two\n")
    assert _all(file) == [b"two"]
    assert file.gaps == 1


@pytest.mark.parametrize("name", ["access.log.copy", "access.log.1"])
def test_a_restart_needs_nobody_elses_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file next to the log that is root's alone keeps nobody from the log, also where its own file is gone."""
    path, other = tmp_path / "access.log", tmp_path / name
    other.write_text("zero\n")
    os.utime(other, (1, 1))
    _append(path, "one\n")
    _, place = LogFile(path, None).read()
    _append(path, "two\n")

    def opening(one: Path) -> BufferedReader:
        if one == other:
            raise PermissionError(errno.EACCES, "Permission denied", str(one))
        return open_regular(one)

    monkeypatch.setattr("exporter.follow.rotated.open_regular", opening)
    assert _all(LogFile(path, place)) == [b"two"]
    path.write_text("three\n")
    assert _all(LogFile(path, place)) == [b"three"]


def test_a_log_without_an_end_is_refused(tmp_path: Path) -> None:
    """Where a container's nginx has a link to its standard output, a pipe, nobody waits in it for ever."""
    path = tmp_path / "access.log"
    os.mkfifo(tmp_path / "stdout")
    path.symlink_to(tmp_path / "stdout")
    with pytest.raises(OSError, match="expected a regular file"):
        LogFile(path, None).read()


def test_rotations_while_it_is_behind_leave_nothing_out(tmp_path: Path) -> None:
    """Whoever is still at a file that was renamed twice finds the one between; other tools' files are no log."""
    path = tmp_path / "access.log"
    _append(path, "one\n")
    file = LogFile(path, None)
    assert file.read()[0] == [b"one"]
    for text in ("two\n", "three\n"):
        for number in (2, 1):
            earlier = tmp_path / f"access.log.{number}"
            if earlier.exists():
                earlier.rename(tmp_path / f"access.log.{number + 1}")
        path.rename(tmp_path / "access.log.1")
        _append(path, text)
    for name in ("access.log.9.zst", "access-2.log", "access.log.offset"):
        (tmp_path / name).write_text("garbage\n")
    assert _all(file) == [b"two", b"three"]
    assert file.gaps == 0


def test_an_endless_line_is_passed_over(tmp_path: Path) -> None:
    """A line without an end, of binary garbage, is counted once, and what follows is read."""
    path = tmp_path / "access.log"
    path.write_bytes(b"\x00\xff" * 800_000 + b"\nnext\n")
    file = LogFile(path, Place())
    assert _all(file) == [b"next"]
    assert file.overlong == 1

"""HAProxy's map file: always whole, always the same size."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.routers import Split, files
from canary.routers.haproxy import mapfile
from canary.routers.haproxy.mapfile import Entries

ROLLOUTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", fullmatch=True)
NUMBERS = st.builds(Entries, weight=st.integers(0, 10_000), salt=st.integers(0, 2**32 - 1), testers=st.integers(0, 1))


@given(entries=NUMBERS, rollout=ROLLOUTS)
def test_every_file_has_the_same_size(entries: Entries, rollout: str) -> None:
    """So that on a full disk one can be overwritten with another."""
    assert len(mapfile.render(entries, rollout).encode()) == len(mapfile.render(Entries(), "none").encode())


@given(entries=NUMBERS, rollout=ROLLOUTS)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, entries: Entries, rollout: str) -> None:
    """Writing and reading give back the numbers."""
    path = tmp_path_factory.getbasetemp() / "roundtrip.map"
    files.write(path, mapfile.render(entries, rollout))

    assert mapfile.read(path) == entries
    assert path.stat().st_mode & 0o777 == 0o640


def test_closing_lets_no_tester_in() -> None:
    """At a weight of 0 the testers' number is 0 too."""
    assert Entries.of(Split("r-1", 0)) == Entries(weight=0, salt=Split("r-1", 0).salt, testers=0)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half-way leaves the live file whole and no temporary one."""
    path = tmp_path / "canary.map"
    before = mapfile.render(Entries(weight=500), "r-1")
    files.write(path, before)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        files.write(path, mapfile.render(Entries(weight=5000), "r-1"))

    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["canary.map"]


def test_a_truncated_file_reads_as_closed(tmp_path: Path) -> None:
    """Half a file, as HAProxy would read it, means that everybody is on stable."""
    path = tmp_path / "canary.map"
    path.write_text("# Written by\nweigh")

    assert mapfile.read(path) == Entries()

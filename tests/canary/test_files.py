"""Files of ours keep clear of what somebody else has put in their place."""

import asyncio
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from canary import files
from canary.report.files import html
from canary.report.past import past_reports
from canary.rollout.store.sidefile import SideFile
from canary.threads import InlineThreads
from exporter.judge.exactfile import ExactFiles
from exporter.publish.statefile import StateFile

_PRECIOUS = "somebody else's"


def _link(path: Path) -> None:
    path.symlink_to(path.parent / "precious")


def _second_name(path: Path) -> None:
    path.hardlink_to(path.parent / "precious")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


PLACED = [_link, _second_name, _pipe, _endless]


def _counters(folder: Path, placed: Callable[[Path], None]) -> bool:
    placed(folder / "state.json")
    placed(folder / f"state.json.{os.getpid()}.new")
    file = StateFile(folder / "state.json", "shop")
    before = file.read()
    file.write(1.0, {})
    after = file.read()
    return before is None and after is not None and after.since == 1.0


def _evidence(folder: Path, placed: Callable[[Path], None]) -> bool:
    placed(folder / "kpi.npz")
    placed(folder / f"kpi.npz.{os.getpid()}.new")
    file = ExactFiles(folder, "shop")
    before = file.read("r1", "kpi", "rows")
    file.write("r1", "kpi", {"seen": np.arange(3)}, "rows")
    after = file.read("r1", "kpi", "rows")
    return before is None and after is not None


def _remembered(folder: Path, placed: Callable[[Path], None]) -> bool:
    placed(folder / "lowered")
    placed(folder / "lowered.spare")
    file = SideFile(folder / "lowered", InlineThreads())

    async def kept() -> object:
        before = await file.read()
        await file.write({"weight": 0})
        return before, await file.read()

    return asyncio.run(kept()) == (None, {"weight": 0})


@pytest.mark.parametrize("placed", PLACED)
@pytest.mark.parametrize("use", [_counters, _evidence, _remembered])
def test_what_was_put_in_the_place_of_our_files_is_neither_written_into_nor_waited_for(
    use: Callable[[Path, Callable[[Path], None]], bool], placed: Callable[[Path], None], tmp_path: Path
) -> None:
    """A link, a second name, a pipe, a device: replaced by our file, which is for us and our group; others' stay."""
    (tmp_path / "precious").write_text(_PRECIOUS, encoding="utf-8")

    assert use(tmp_path, placed)
    assert (tmp_path / "precious").read_text(encoding="utf-8") == _PRECIOUS
    ours = [path for path in tmp_path.iterdir() if path.name in ("state.json", "kpi.npz", "lowered")]
    assert [stat.S_IMODE(path.lstat().st_mode) for path in ours] == [0o640]


def _of_another_user(link: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a link somebody else's: who may not give it away becomes somebody else."""
    user = os.geteuid()
    if user == 0:
        os.lchown(link, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)


def test_a_link_is_followed_when_root_or_we_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator's leads to the file, also over another one; another user's is neither read nor written."""
    (tmp_path / "precious").write_text(_PRECIOUS, encoding="utf-8")
    _link(tmp_path / "state")
    (tmp_path / "over").symlink_to("state")

    assert files.read_own(tmp_path / "over", 100).decode() == _PRECIOUS
    _of_another_user(tmp_path / "state", monkeypatch)
    for name in ("state", "over"):
        with pytest.raises(OSError, match="another user"):
            files.read_own(tmp_path / name, 100)
        with pytest.raises(OSError, match="another user"):
            files.open_linked(tmp_path / name, os.O_WRONLY | os.O_CREAT)


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    """They are followed a few times, and then no more."""
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")

    with pytest.raises(OSError, match="symbolic links"):
        files.read_own(tmp_path / "one", 100)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_link_that_is_put_there_meanwhile_is_not_followed(
    calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two looks at the path somebody else's link takes the place of ours: ours is read, or nothing."""
    (tmp_path / "precious").write_text(_PRECIOUS, encoding="utf-8")
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    (tmp_path / "state").symlink_to("mine")
    _link(tmp_path / "placed")
    opened, made = os.open, 0

    def swapped(path: Path, *how: int) -> int:
        nonlocal made
        made += 1
        try:
            return opened(path, *how)
        finally:
            if made == calls:
                _of_another_user(tmp_path / "placed", monkeypatch)
                (tmp_path / "placed").rename(tmp_path / "state")

    monkeypatch.setattr(os, "open", swapped)
    try:
        found = files.read_own(tmp_path / "state", 100)
    except PermissionError:
        found = b""

    assert found == (b"" if calls == 1 else b"mine")


def test_a_link_or_pipe_among_reports_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may write into the folder of reports does not read by the page what only the receiver may."""
    (tmp_path / "precious").write_text(_PRECIOUS, encoding="utf-8")
    _link(tmp_path / "shop-1.html")
    os.mkfifo(tmp_path / "shop-2.html")
    _of_another_user(tmp_path / "shop-1.html", monkeypatch)

    for rollout in ("shop-1", "shop-2"):
        with pytest.raises(OSError, match=r"another user|regular file"):
            html(tmp_path, rollout)


def test_a_pipe_among_reports_holds_nobody_up(tmp_path: Path) -> None:
    """It is damaged, and named."""
    os.mkfifo(tmp_path / "shop-1.json")

    assert list(past_reports(tmp_path, "shop").damaged) == ["shop-1.json"]


def test_what_is_read_has_bounds(tmp_path: Path) -> None:
    """A file that is larger than any of ours is not taken into memory."""
    (tmp_path / "large").write_bytes(b"12345")

    assert files.read(tmp_path / "large", 5) == b"12345"
    with pytest.raises(OSError, match="expected at most 4 bytes") as refused:
        files.read(tmp_path / "large", 4)
    assert refused.value.errno == errno.EFBIG


def test_what_a_killed_writer_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    """Nothing else is: a file that may be being written, another's, an editor's."""
    killed = "files.Path.replace = lambda *_: os.kill(os.getpid(), 9)"
    program = f"import os, sys; from canary import files; {killed}; files.replace(files.Path(sys.argv[1]), b'half')"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, tmp_path / "state"], check=False)
    old, young = sorted(tmp_path.iterdir())
    others = [tmp_path / name for name in (".state.swp", ".state.original", ".state.json.half-abcdefgh")]
    for path in others:
        path.touch()
    for path in (old, *others):
        os.utime(path, (0, 0))

    files.replace(tmp_path / "state", b"whole")

    assert set(tmp_path.iterdir()) == {young, *others, tmp_path / "state"}
    assert (tmp_path / "state").read_bytes() == b"whole"


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """A folder in a file's place is not replaced, and no half file stays next to it."""
    (tmp_path / "state" / "inside").mkdir(parents=True)

    with pytest.raises(OSError, match="directory"):
        files.replace(tmp_path / "state", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]

"""A small file next to the journal: whole or not there, of bounded size, and never a reason to stop."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.policy.model import Policy, State
from canary.rollout.store.sidefile import SideFile, beside
from canary.testing.sidefile import Disk, MemorySideFile
from canary.threads import InlineThreads

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def _file(path: Path | None) -> SideFile:
    return SideFile(path, InlineThreads())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> pytest.TempPathFactory:
    """Makes a new folder for every example."""
    return tmp_path_factory


@settings(deadline=None, max_examples=30)
@given(first=_JSON, last=_JSON)
async def test_what_was_written_last_is_read(folders: pytest.TempPathFactory, first: object, last: object) -> None:
    """A shorter text in the place of a longer one leaves nothing of it; in memory it is the same."""
    for file in (_file(folders.mktemp("side") / "file"), MemorySideFile(Disk(), "file")):
        await file.write(first)
        await file.write(last)

        assert await file.read() == last


async def test_space_for_the_next_time_is_taken_beforehand(tmp_path: Path) -> None:
    """On a full disk the spare file is there already, with room for as much again."""
    await _file(tmp_path / "file").write(["x" * 10_000])

    assert (tmp_path / "file.spare").stat().st_blocks * 512 >= 10_000
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, None])
async def test_a_file_that_cannot_be_read_is_no_file(tmp_path: Path, text: bytes | None) -> None:
    """Nor is one that was never written: it is a second line of defence, and hinders nothing."""
    if text is not None:
        (tmp_path / "file").write_bytes(text)

    assert await _file(tmp_path / "file").read() is None


async def test_a_folder_that_cannot_be_written_hinders_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in the log."""
    (tmp_path / "folder").write_text("a file")

    await _file(tmp_path / "folder" / "file").write({})

    assert "cannot remember next to the journal" in caplog.text


async def test_what_is_too_large_leaves_what_was_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A reader reads a bounded file, so that a larger one would be cut, and be none."""
    file = _file(tmp_path / "file")
    await file.write("kept")
    await file.write("x" * 300_000)

    assert await file.read() == "kept"
    assert "cannot remember" in caplog.text


async def test_without_a_path_nothing_is_kept() -> None:
    """A journal in memory leaves nothing behind either."""
    file = _file(None)
    await file.write(1)

    assert await file.read() is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/shop/state.db", "/var/lib/shop/state.db.shop.unwritten"),
        ("sqlite:///:memory:", None),
        ("postgresql://db/state", "/etc/shop/reports/.shop.unwritten"),
    ],
)
def test_it_is_beside_the_journal(url: str, expected: str | None) -> None:
    """Next to SQLite's own file; where the journal is on another machine, in the folder that the receiver writes to."""
    policy = Policy(service="shop", state=State(url=url, reports="reports"), base="/etc/shop")

    assert beside(policy, ".unwritten") == (None if expected is None else Path(expected))


async def test_what_an_earlier_version_kept_is_read_until_something_is_written(tmp_path: Path) -> None:
    """It knew of one service for each journal, and its file had no service's name."""
    former, own = tmp_path / "state.db.lowered", tmp_path / "state.db.shop.lowered"
    former.write_text("[1]", encoding="utf-8")
    file = SideFile(own, InlineThreads(), former)

    assert await file.read() == [1]
    await file.write([])
    assert await file.read() == []

"""Programs that the demo starts and ends."""

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from canary.errors import ProcessError
from demo.stack import processes
from demo.stack.processes import Processes, find_program
from tests.support.programs.processes import eventually


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _said(path: Path) -> str:
    """A program's first whole line, once it is there."""
    text = path.read_text() if path.exists() else ""
    return text if text.endswith("\n") else ""


async def test_stopping_ends_children_too(tmp_path: Path) -> None:
    """What a started program itself started does not outlive it."""
    started = Processes(tmp_path)
    await started.start("parent", ["sh", "-c", "sleep 60 & echo $! $$; wait"])
    await eventually(lambda: bool(_said(tmp_path / "parent.log")), "the child is there")
    pids = [int(word) for word in _said(tmp_path / "parent.log").split()]
    lived = [_alive(pid) for pid in pids]

    await started.stop()

    assert lived == [True, True]
    await eventually(lambda: not any(_alive(pid) for pid in pids), "parent and child have ended")


async def test_a_program_that_ignores_being_asked_is_ended_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing outlives the demo."""
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.3)
    started = Processes(tmp_path)
    await started.start("stubborn", ["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1; done"])
    await eventually(lambda: bool(_said(tmp_path / "stubborn.log")), "the program is there")
    pid = int(_said(tmp_path / "stubborn.log"))

    await started.stop()

    assert not _alive(pid)


async def test_what_an_interrupted_stop_leaves_is_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while one version is replaced by the next leaves no shop that still finishes its requests."""
    started = Processes(tmp_path)
    await started.start("stubborn", ["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 1; done"])
    await eventually(lambda: bool(_said(tmp_path / "stubborn.log")), "the program is there")
    pid = int(_said(tmp_path / "stubborn.log"))
    stopping = asyncio.create_task(started.stop("stubborn"))
    await asyncio.wait([stopping], timeout=0.1)
    stopping.cancel()
    await asyncio.wait([stopping])
    lived = _alive(pid)

    monkeypatch.setattr(processes, "STOP_SECONDS", 0.3)
    await started.stop()

    assert lived
    assert not _alive(pid)
    assert started.pids() == {}


async def test_a_program_is_awaited_until_it_answers(tmp_path: Path, unused_tcp_port: int) -> None:
    """Ready means that it answers 200."""
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(unused_tcp_port)]
    started = Processes(tmp_path)
    async with aiohttp.ClientSession() as session:
        await started.start("server", server)
        await started.ready("server", f"http://127.0.0.1:{unused_tcp_port}/", session)
        ended = started.ended()
        await started.stop()

    assert ended == []


async def test_a_program_that_ends_by_itself_is_told_with_its_log(tmp_path: Path, unused_tcp_port: int) -> None:
    """A part that cannot start is named, and the end of its log is in the message."""
    started = Processes(tmp_path)
    await started.start("broken", ["sh", "-c", "echo no such table >&2; exit 1"])
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ProcessError, match=r"broken: expected .* ended by itself.*\n.*no such table"):
            await started.ready("broken", f"http://127.0.0.1:{unused_tcp_port}/", session)

    assert started.ended() == ["broken"]
    await started.stop()


def test_a_missing_program_is_told_with_its_remedy() -> None:
    """Who lacks a program learns which, and how to get it."""
    with pytest.raises(ProcessError, match=r"no-such-program: expected .* apt-get install"):
        find_program("no-such-program")


def test_daemons_outside_the_path_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian keeps haproxy where users do not look."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    assert os.access(find_program("haproxy"), os.X_OK)
    assert os.access(find_program("prometheus-alertmanager", "alertmanager"), os.X_OK)


def test_of_a_programs_several_names_path_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever puts an upstream Alertmanager first gets it, although Debian's has another name."""
    for folder, name in (("first", "second-name"), ("second", "first-name")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / folder) for folder in ("first", "second")))

    assert find_program("first-name", "second-name") == str(tmp_path / "first" / "second-name")

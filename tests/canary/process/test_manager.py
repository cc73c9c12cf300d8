"""The canary's process under real pm2, under systemd's command line, and under the user's programs."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from canary.errors import ProcessError
from canary.policy.release import Process
from canary.process.manager import ProcessState, in_slot, process_of

NODE_PROGRAMS = Path(__file__).parents[3] / "node_modules" / ".bin"


def kill_pm2() -> None:
    """End pm2's daemon and what it runs."""
    subprocess.run(["pm2", "kill"], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def pm2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A pm2 with a home of its own that runs one process named `shop-canary`."""
    monkeypatch.setenv("PM2_HOME", str(tmp_path / "pm2"))
    monkeypatch.setenv("PATH", f"{NODE_PROGRAMS}:{os.environ['PATH']}")
    script = tmp_path / "shop.js"
    script.write_text("setInterval(() => {}, 1000)\n")
    subprocess.run(
        ["pm2", "start", script, "--name", "shop-canary", "--instances", "2"], check=True, stdout=subprocess.DEVNULL
    )
    yield tmp_path
    kill_pm2()


async def test_pm2_stops_and_starts(pm2: Path) -> None:
    """All instances of a process are stopped by name; stopping again does nothing; it can be started again."""
    process = process_of(Process(kind="pm2", name="shop-canary"))
    assert await process.state() is ProcessState.RUNNING

    assert await process.stop() is ProcessState.STOPPED
    assert await process.stop() is ProcessState.STOPPED
    assert await process.state() is ProcessState.STOPPED

    assert await process.start() is ProcessState.RUNNING


async def test_pm2_does_not_know_the_process(pm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that pm2 does not know counts as gone when stopping, and is an error when starting.

    Also where a command has that name, as `canary` itself has the name that is the default: it is not what is started.
    """
    command = pm2 / "other"
    command.write_text("#!/bin/sh\nexec sleep 60\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    process = process_of(Process(kind="pm2", name="other"))

    assert await process.stop() is ProcessState.MISSING
    with pytest.raises(
        ProcessError, match=r"process other \(pm2\): expected running or unknown after start, found missing"
    ):
        await process.start()


@pytest.mark.parametrize("namespaces", [("stable", "canary"), ("shop", "shop")])
async def test_pm2_is_not_told_to_stop_what_others_run_by(pm2: Path, namespaces: tuple[str, str]) -> None:
    """A name that stands in two namespaces, and a namespace itself, mean stable too: it is said, and nothing begins.

    What has ended is no hindrance any more.
    """
    names = ("shop", "shop") if namespaces[0] != "shop" else ("web-stable", "web-canary")
    for name, namespace in zip(names, namespaces, strict=True):
        words = ["pm2", "start", str(pm2 / "shop.js"), "--force", "--name", name, "--namespace", namespace]
        await asyncio.to_thread(subprocess.run, words, check=True, stdout=subprocess.DEVNULL)
    process = process_of(Process(kind="pm2", name="shop"))

    said = "in the namespaces canary, stable" if names[0] == "shop" else "which would stop all in it: web-canary"
    with pytest.raises(ProcessError, match=said):
        await process.state()
    assert await process_of(Process(kind="pm2", name="shop-canary")).state() is ProcessState.RUNNING

    await asyncio.to_thread(subprocess.run, ["pm2", "stop", "shop"], check=True, stdout=subprocess.DEVNULL)
    assert await process.state() is (ProcessState.STOPPED if names[0] == "shop" else ProcessState.MISSING)


async def test_pm2_whose_daemon_is_gone_is_asked_all_the_same(pm2: Path) -> None:
    """pm2 greets at length when it starts its daemon; its list is found behind the greeting."""
    await asyncio.to_thread(kill_pm2)

    assert await process_of(Process(kind="pm2", name="shop-canary")).stop() is ProcessState.MISSING


SYSTEMCTL = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
state = folder / "state"
if sys.argv[1] == "show":
    print(state.read_text())
elif sys.argv[1] == "stop" and not (folder / "refuse").exists():
    state.write_text("LoadState=loaded\\nActiveState=inactive")
elif sys.argv[1] == "start":
    state.write_text("LoadState=loaded\\nActiveState=active")
else:
    sys.exit("Interactive authentication required.")
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `systemctl` that records how it is called: tests cannot boot a systemd of their own."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    (tmp_path / "state").write_text("LoadState=loaded\nActiveState=active")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path


async def test_systemd_is_asked_with_fixed_arguments(systemctl: Path) -> None:
    """The unit stands behind `--`, and nothing comes before the stop, which was permitted for this very moment."""
    process = process_of(Process(kind="systemd", name="shop@v2.service"))
    assert await process.stop() is ProcessState.STOPPED
    assert await process.stop() is ProcessState.STOPPED

    show = ["show", "--property=LoadState,ActiveState", "--", "shop@v2.service"]
    calls = [json.loads(line) for line in (systemctl / "calls").read_text().splitlines()]
    assert calls == [["stop", "--", "shop@v2.service"], show] * 2


async def test_systemd_that_refuses_is_quoted(systemctl: Path) -> None:
    """A stop that did not happen is an error with systemd's own words."""
    (systemctl / "refuse").touch()

    with pytest.raises(ProcessError, match=r"found running; .*Interactive authentication required"):
        await process_of(Process(kind="systemd", name="shop")).stop()


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("LoadState=loaded\nActiveState=activating", ProcessState.RUNNING),
        ("LoadState=loaded\nActiveState=deactivating", ProcessState.RUNNING),
        ("LoadState=loaded\nActiveState=failed", ProcessState.STOPPED),
        ("ActiveState=inactive\nLoadState=not-found", ProcessState.MISSING),
    ],
)
async def test_systemd_states(systemctl: Path, said: str, state: ProcessState) -> None:
    """A unit between states still runs; one that systemd does not know is missing."""
    (systemctl / "state").write_text(said)

    assert await process_of(Process(kind="systemd", name="shop")).state() is state


async def test_systemd_that_says_nothing_is_an_error(systemctl: Path) -> None:
    """An answer without a state is never taken for stopped."""
    (systemctl / "state").write_text("")

    with pytest.raises(ProcessError, match="expected the state of the unit"):
        await process_of(Process(kind="systemd", name="shop")).state()


async def test_the_users_programs(tmp_path: Path) -> None:
    """Start, stop and status are the policy's programs; the state is the exit status of `status`."""
    flag = str(tmp_path / "running")
    process = process_of(Process(kind="command", start=("touch", flag), stop=("rm", flag), status=("test", "-e", flag)))

    assert await process.start() is ProcessState.RUNNING
    assert await process.stop() is ProcessState.STOPPED
    assert await process.stop() is ProcessState.STOPPED


async def test_without_a_status_program_the_exit_status_counts(tmp_path: Path) -> None:
    """Nobody can be asked: a stop that exits with 0 is believed, any other is an error."""
    assert await process_of(Process(kind="command", stop=("true",))).stop() is ProcessState.UNKNOWN
    with pytest.raises(ProcessError, match="stop: `false`: expected exit status 0, found 1"):
        await process_of(Process(kind="command", stop=("false",))).stop()


async def test_a_stop_without_effect_is_an_error() -> None:
    """A stop program that reports success while the process runs on is found out."""
    process = process_of(Process(kind="command", stop=("true",), status=("true",)))

    with pytest.raises(ProcessError, match="expected missing or stopped or unknown after stop, found running"):
        await process.stop()


async def test_nobody_stops_it() -> None:
    """Kind `none` does nothing and knows nothing."""
    process = process_of(Process())

    assert {await process.start(), await process.stop(), await process.state()} == {ProcessState.UNKNOWN}


def test_a_command_without_stop_is_refused() -> None:
    """A canary that could not be stopped is found before a rollout."""
    with pytest.raises(ProcessError, match="process: stop: expected a program"):
        process_of(Process(kind="command", status=("true",)))


def test_a_process_belongs_to_a_slot() -> None:
    """The letter stands wherever the section leaves room for one, and nowhere else."""
    section = Process(kind="command", name="shop-{slot}", stop=("stop", "--name=shop-{slot}", "a"), status=("ask", "x"))
    found = in_slot(section, "b")
    assert (found.name, found.stop, found.status) == ("shop-b", ("stop", "--name=shop-b", "a"), ("ask", "x"))

"""The canary's process as commands start and stop it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.stack import daemon

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


@pytest.fixture
def described(tmp_path: Path) -> Iterator[Path]:
    """A description of a process that sleeps; it is ended whatever the test does."""
    path = tmp_path / "canary.json"
    daemon.describe(path, SLEEPER, tmp_path / "canary.log")
    yield path
    daemon.stop(path)


def test_start_stop_and_status_work_as_commands(described: Path) -> None:
    """The three argument vectors of the policy do what they say, and may be repeated."""
    commands = daemon.commands(described)

    def call(verb: str) -> int:
        return subprocess.run(commands[verb], check=False).returncode

    assert call("status") == 3
    assert [call("start"), call("start"), call("status")] == [0, 0, 0]
    assert [call("stop"), call("stop"), call("status")] == [0, 0, 3]


def test_starting_twice_runs_one_process(described: Path) -> None:
    """A start that finds the process running leaves it alone."""
    daemon.start(described)
    first = daemon.running(described)

    daemon.start(described)

    assert first is not None
    assert daemon.running(described) == first


def test_a_process_that_does_not_listen_is_ended_by_force(
    described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop is a stop, also for a process that ignores being asked."""
    daemon.describe(described, STUBBORN, tmp_path / "canary.log")
    monkeypatch.setattr(daemon, "STOP_SECONDS", 0.3)
    daemon.start(described)
    while "up" not in (tmp_path / "canary.log").read_text():
        time.sleep(0.01)

    daemon.stop(described)

    assert daemon.running(described) is None


def test_the_number_of_another_process_is_not_mistaken_for_ours(described: Path) -> None:
    """A process id that the kernel gave to somebody else is neither running nor stopped."""
    described.with_suffix(".pid").write_text(f"{os.getpid()} 1")

    daemon.stop(described)  # would end the tests themselves

    assert daemon.running(described) is None


def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown verb exits with 2 and says what is known."""
    monkeypatch.setattr(sys, "argv", ["daemon", "dance", "x"])

    assert daemon.main() == 2
    assert "start|stop|status" in capsys.readouterr().err

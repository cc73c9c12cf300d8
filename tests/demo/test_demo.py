"""The whole chain on real parts: the demo as a person runs it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from canary.policy import load_policy
from grafana import generate
from scripts.preview.prometheus import Prometheus
from tests.support.documents import dashboards

ROOT = Path(__file__).parents[2]
CANARY = Path(sys.executable).with_name("canary")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, because HAProxy's socket has a place in it."""
    with tempfile.TemporaryDirectory(prefix="canary-t-") as name:
        yield Path(name)


@contextmanager
def _demo(folder: Path, *arguments: str, cwd: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """A demo with its temporary files in a folder; it is ended whatever the test does."""
    with subprocess.Popen(
        [CANARY, "demo", *arguments],
        cwd=cwd,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        try:
            yield demo
        finally:
            demo.send_signal(signal.SIGINT)


def _says(demo: subprocess.Popen[str], words: str) -> str:
    """Everything that a demo says up to the line with certain words."""
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"the demo never said {words!r}:\n{said}")


def _left_behind(folder: Path) -> list[str]:
    """Command lines of the processes that have to do with a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in line:
            found.append(line)
    return found


@dataclass(frozen=True)
class BadDemo:
    """What a demo of a bad canary said, showed while it was kept up, and left behind."""

    said: str
    returncode: int
    status: dict[str, Any]
    empty: list[str]
    marked: set[str]
    left_behind: list[str]


@pytest.fixture(scope="module")
def bad_demo() -> BadDemo:
    """One demo for all that can be seen in it; kept up, everything can be looked at until Ctrl-C."""
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="canary-t-") as name:
        folder = Path(name)
        with _demo(folder, "--speed", "60", "--rate", "40", "--seed", "3", "--keep") as demo:
            said = _says(demo, "  policy ")
            file = Path(said.split()[-1])
            ended = time.time()  # dashboards are looked at as of here: after it another rollout begins
            said += _says(demo, "Break it yourself")
            argv = [str(CANARY), "status", "--json", "--config.file", str(file)]
            status = subprocess.run(argv, capture_output=True, check=True)
            address = re.search(r"^\s+prometheus\s+(http://\S+)", said, re.MULTILINE)
            assert address, said
            server = Prometheus(address[1], began, ended)
            found = {name: json.loads(text) for name, text in generate.dashboards(load_policy(file)).items()}
            empty = [query for dashboard in found.values() for query in dashboards.empty(dashboard, server)]
            marked = dashboards.marked(found["canary-rollout.json"], server)
            demo.send_signal(signal.SIGINT)
            said += demo.communicate()[0]
        left_behind = _left_behind(folder) + [str(path) for path in folder.iterdir()]
    return BadDemo(said, demo.returncode, json.loads(status.stdout), empty, marked, left_behind)


@pytest.mark.timeout(300)
def test_a_bad_canary_is_rolled_back_by_itself(bad_demo: BadDemo) -> None:
    """From the first bad payment to the last customer back on stable, every link of the chain does its part.

    The demo itself checks the end: rolled back by an alert, the router at 0 %, no late request, the feature flag off,
    the process stopped, the team notified, nothing missing in the timeline.
    """
    said = bad_demo.said
    assert bad_demo.returncode == 0, said
    moments = re.findall(r"^ *[+-][\d.]+ +(.+?)  +[a-z' ]+$", said, re.MULTILINE | re.IGNORECASE)
    assert moments.index("first bad payment") < moments.index("rolled back"), said
    assert re.search(r"alert Canary\w+ fires", said), said
    assert re.search(r"\d+ customers were harmed", said), said
    assert re.search(r"[1-9]\d* customers had the express checkout .*, none of the [1-9]", said), said
    assert bad_demo.status["rollout"]["state"] == "holding"  # another canary, for whoever wants to break it
    assert bad_demo.left_behind == []


@pytest.mark.timeout(300)
def test_every_query_of_a_dashboard_finds_what_a_real_rollout_left(bad_demo: BadDemo) -> None:
    """What exporter, receiver, rules and shop publish is what the dashboards ask for, and each decision is marked."""
    assert bad_demo.empty == []
    assert bad_demo.marked >= {"start", "advance", "rollback"}


def _two_releases(folder: Path, seed: str) -> tuple[int, str]:
    """How two healthy releases ended; with half the customers of one at this speed, for twice as long."""
    with _demo(folder, "--scenario", "second-release", "--speed", "120", "--rate", "20", "--seed", seed) as demo:
        said, _ = demo.communicate()
    return demo.returncode, said


@pytest.mark.timeout(1200)
def test_two_healthy_releases_follow_each_other(folder: Path) -> None:
    """With nothing wrong, the canary gets all customers, is finished, and the next one begins on it.

    The demo itself checks the end: the phases in order, nobody on a version that was left behind, the canary's process
    stopped after each finish, the team notified.
    """
    status, said = _two_releases(folder, "4")
    if " is held (" in said:  # one healthy rollout in a hundred may be: who comes to which version is luck
        status, said = _two_releases(folder, "5")

    assert status == 0, said
    for phase in ("2: 25%", "3: 50%", "4: 100%"):
        assert said.count(f"phase {phase} of customers") == 2, said
    assert said.count("100% are back on the stable server") == 2, said
    assert "rollout of v3.0 starts" in said, said
    assert _left_behind(folder) == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [("order database", signal.SIGTERM), ("canary generate", signal.SIGHUP), ("HAProxy in front", signal.SIGINT)],
)
def test_an_interrupted_demo_leaves_nothing_behind(folder: Path, moment: str, number: signal.Signals) -> None:
    """Ctrl-C or a termination in the middle, even repeated, ends every process and removes every file."""
    with _demo(folder) as demo:
        _says(demo, moment)
        time.sleep(0.1)
        running = _left_behind(folder)
        demo.send_signal(number)
        time.sleep(0.05)
        demo.send_signal(number)
        demo.communicate()

    assert demo.returncode == 130
    assert running
    assert _left_behind(folder) == []
    assert list(folder.iterdir()) == []


def test_a_part_that_cannot_start_is_told_and_nothing_stays(folder: Path) -> None:
    """A demo that cannot run says why in one message, and ends what it had started."""
    with _demo(folder, "--database", "postgresql+asyncpg://shop@127.0.0.1:9/shop") as demo:
        said, _ = demo.communicate()

    assert demo.returncode == 1
    assert "Traceback" not in said
    assert "127.0.0.1:9/shop" in said
    assert _left_behind(folder) == []


def test_the_demo_brings_its_policy_along(folder: Path) -> None:
    """Whoever installs the program and has no policy yet sees the demo all the same."""
    with _demo(folder, cwd=folder) as demo:
        said = _says(demo, "canary generate")

    assert "✓ policy: canary.yaml" in said


def test_a_folder_in_use_is_refused(folder: Path) -> None:
    """What stands in a folder already is neither read nor overwritten."""
    (folder / "state.db").touch()

    with _demo(folder, "--directory", str(folder)) as demo:
        said, _ = demo.communicate()

    assert demo.returncode == 2
    assert "expected an empty or new folder" in said
    assert [path.name for path in folder.iterdir()] == ["state.db"]

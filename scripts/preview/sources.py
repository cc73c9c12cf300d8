"""Where the drawn data come from: a demo, a server that runs already, or the story that the tests tell."""

import contextlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import prometheus as support
from tests.support.stories.story import END, Story

# Lines of what `canary demo` prints at its start: where everything is.
_ADDRESS = re.compile(r"^\s+prometheus\s+(http://\S+)")
_POLICY = re.compile(r"^\s+policy\s+(\S.*)")


@dataclass(frozen=True)
class Source:
    """A Prometheus, the policy that its series were made by, and the newest moment worth drawing."""

    url: str
    policy: Path
    end: float | None = None


@contextlib.contextmanager
def demo(scenario: str, speed: float, rate: float) -> Iterator[Source]:
    """A demo that has told its whole story and stays up while the block runs.

    Raises:
        RuntimeError: the demo ended by itself; what it printed is in the message.
    """
    with tempfile.TemporaryDirectory(prefix="canary-preview-") as folder:
        argv = [sys.executable, "-c", "from canaryctl.cli import main; main()", "demo", "--keep"]
        argv += ["--directory", folder, "--scenario", scenario, "--speed", str(speed), "--rate", str(rate)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            yield _told(process)
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=30)
            process.kill()
            process.wait()


def _told(process: subprocess.Popen[str]) -> Source:
    """Show what the demo prints, until it says where everything is."""
    assert process.stdout is not None
    url, said = "", []
    for line in process.stdout:
        said.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()
        if found := _ADDRESS.match(line):
            url = found[1]
        if url and (found := _POLICY.match(line)):
            return Source(url, Path(found[1].strip()))
    raise RuntimeError(f"the demo ended before it could be drawn: {''.join(said[-5:])}")


@contextlib.contextmanager
def story(policy: Path, service: str, minute: float = END) -> Iterator[Source]:
    """A Prometheus that holds the tests' story, looked at in one of its minutes."""
    told = Story(service, 1_764_000_000.0)
    with tempfile.TemporaryDirectory(prefix="canary-preview-") as folder:
        history = Path(folder) / "story.om"
        told.write(history)
        with support.Prometheus(history=history) as server:
            yield Source(server.url, policy, told.at(minute))

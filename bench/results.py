"""bench/RESULTS.md: one section per benchmark, replaced by each run."""

import os
import platform
import re
import statistics
from datetime import UTC, datetime
from pathlib import Path

PATH = Path(__file__).parent / "RESULTS.md"
_HEAD = "# What was measured\n\nEach section is written by the command that it names.\n"


# Taken before a benchmark adds its own: on a busy machine, times say as much about the others.
_LOAD_BEFORE = os.getloadavg()[0]


def machine() -> str:
    """The machine in a few words: processor, cores, system, Python."""
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = names[0] if names else platform.machine()
    software = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores, {software}, load average before {_LOAD_BEFORE:.1f}"


def record(title: str, command: str, body: str) -> None:
    """Replace the section *title*, with the command that measured it, the day and the machine."""
    text = PATH.read_text() if PATH.exists() else _HEAD
    section = f"\n## {title}\n\n`{command}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}\n\n{body.strip()}\n"
    pattern = re.compile(rf"\n## {re.escape(title)}\n.*?(?=\n## |\Z)", re.DOTALL)
    PATH.write_text(pattern.sub(lambda _: section, text) if pattern.search(text) else text + section)


def figures(values: list[float]) -> str:
    """Median, 99th percentile and largest of some times, as in the tables."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{statistics.median(ordered):.1f} / {p99:.1f} / {ordered[-1]:.1f}"

"""bench/RESULTS.md: one section per benchmark, replaced by each run."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

PATH = Path(__file__).parent / "RESULTS.md"
_HEAD = "# What was measured\n\nEach section is written by the command that it names.\n"


def machine() -> str:
    """The machine in a few words: processor, cores, system, Python."""
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = names[0] if names else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def record(title: str, command: str, body: str) -> None:
    """Replace the section *title*, with the command that measured it, the day and the machine."""
    text = PATH.read_text() if PATH.exists() else _HEAD
    section = f"\n## {title}\n\n`{command}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}\n\n{body.strip()}\n"
    pattern = re.compile(rf"\n## {re.escape(title)}\n.*?(?=\n## |\Z)", re.DOTALL)
    PATH.write_text(pattern.sub(lambda _: section, text) if pattern.search(text) else text + section)

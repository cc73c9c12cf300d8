"""The threat model names the tests that hold it, and they exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_each_line_of_the_threat_model_is_held_by_a_test() -> None:
    """A test that was renamed or removed takes its promise with it."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("|") and ("**" in line or "`test_" in line)]
    written = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))

    assert len(lines) >= 10
    for line in lines:
        named = re.findall(r"`(test_\w+)`", line)
        assert named, line
        assert not [name for name in named if f"def {name}(" not in written], line

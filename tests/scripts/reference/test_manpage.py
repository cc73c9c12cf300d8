"""The man page: well formed, and complete."""

import re
import subprocess
from pathlib import Path

import pytest

from canary import errors
from scripts.reference.commands import tree
from scripts.reference.manpage import PAGE
from tests.support.programs.processes import SEARCH_PATH


def said(*argv: str | Path) -> str:
    """What a program prints, on both ways."""
    result = subprocess.run(
        argv, check=False, env={"PATH": SEARCH_PATH}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def shown() -> str:
    """The page as a reader sees it, without bold and underlined, spaces folded."""
    text = said("groff", "-man", "-Tascii", "-P-cbou", PAGE)
    # A word may be divided at a line's end, also behind a hyphen of its own.
    return " ".join(re.sub(r"-\n +", "-", text).split())


def test_formatters_find_no_fault() -> None:
    """groff with all its warnings, and mandoc's lint."""
    assert said("groff", "-man", "-ww", "-rCHECKSTYLE=3", "-Tutf8", "-z", PAGE) == ""
    assert said("mandoc", "-Tlint", "-Wwarning", PAGE) == ""


def test_it_has_the_usual_sections(shown: str) -> None:
    """In the usual order."""
    source = PAGE.read_text(encoding="utf-8")

    assert re.findall(r"^\.SH (.+)$", source, re.MULTILINE) == [
        "NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "FILES", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO",
    ]  # fmt: skip
    assert "canary - guard canary releases of a shop by its business KPIs" in shown


def test_it_has_every_command_and_option(shown: str) -> None:
    """Each command with all options that its help shows."""
    for context in tree():
        options = [name for one in context.command.params if not getattr(one, "hidden", False) for name in one.opts]
        assert context.command_path in shown
        assert [name for name in options if name.startswith("--") and name not in shown] == []


def test_it_has_every_exit_status() -> None:
    """Those of our own errors, success, and click's wrong usage."""
    found = {one.exit_status for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "exit_status")}
    section = PAGE.read_text(encoding="utf-8").partition(".SH EXIT STATUS")[2].partition(".SH ")[0]

    assert {int(number) for number in re.findall(r"^\.B (\d)$", section, re.MULTILINE)} == found | {0, 2}

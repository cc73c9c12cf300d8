"""The page about compatibility: one line for each thing that was run, version by version."""

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from canary.errors import ProcessError
from scripts import golden
from scripts.compat.__main__ import main
from scripts.compat.exercises import Exercise
from scripts.compat.page import Row, page, rows
from scripts.compat.programs import BY_NAME, PROGRAMS, inside, run, used, version
from tests.support.programs.processes import eventually


def _row(version: str, result: str = "passed", what: str = "demo") -> Row:
    return Row("Prometheus", version, what, "2026-01-02", result)


def test_a_version_that_is_run_again_has_its_newest_result_only() -> None:
    """Lines of other versions stay, the newest first, and what never ran says so."""
    first = page([], [_row("3.9.0"), _row("3.10.0", "failed: no answer")])
    second = page(rows(first), [_row("3.10.0")])

    assert [row for row in rows(second) if row.program == "Prometheus"] == [_row("3.10.0"), _row("3.9.0")]
    assert second.count("| not run |") == len(PROGRAMS) - 1


def test_the_committed_page_is_one_that_the_command_writes() -> None:
    """Head, order and columns are the command's; only what failed may be put in words afterwards."""
    text = (golden.ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")

    assert page(rows(text), []) == text
    assert rows(text)


def test_programs_are_found_by_their_names_and_asked_for_their_version(tmp_path: Path) -> None:
    """Also under the name that Debian gives; what else lies there is none, nor is a folder."""
    (tmp_path / "prometheus").mkdir()
    for name, said in {"prometheus-alertmanager": "alertmanager, version 0.35.0 (go1.26)", "other": "1.2"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)

    assert inside(tmp_path) == {"alertmanager": "0.35.0"}


def test_of_two_names_the_version_is_that_of_the_program_that_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may have Debian's Alertmanager next to another one; one of them is run, and a line is about that one."""
    for name, number in {"alertmanager": "0.35.0", "prometheus-alertmanager": "0.25.0"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {number}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    assert used("alertmanager") == f"Alertmanager {inside(tmp_path)['alertmanager']}"


def test_what_does_not_run_for_lack_of_a_program_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does a word that no exercise has; neither leaves a line."""

    def run() -> str:
        raise ProcessError("expected the program on PATH, found none", place="victoria-metrics")

    (tmp_path / "vmalert").write_text("#!/bin/sh\necho 1.2\n")
    (tmp_path / "vmalert").chmod(0o755)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setattr("scripts.compat.__main__.EXERCISES", [Exercise("`-dryRun`", ["vmalert"], run)])
    monkeypatch.setattr("scripts.compat.__main__._PAGE", tmp_path / "page.md")
    lacking = CliRunner().invoke(main, [str(tmp_path), "--only", "dryRun"])
    unknown = CliRunner().invoke(main, [str(tmp_path), "--only", "nothing"])

    assert (lacking.exit_code, unknown.exit_code) == (1, 1)
    assert "victoria-metrics: expected the program on PATH, found none" in lacking.output
    assert "'nothing' is about none" in unknown.output
    assert not (tmp_path / "page.md").exists()


def test_a_program_may_answer_on_its_standard_error(tmp_path: Path) -> None:
    """nginx does; and one that tells no number is of an unknown version."""
    file = tmp_path / "nginx"
    file.write_text("#!/bin/sh\necho nginx/1.31.3 >&2\n")
    file.chmod(0o755)
    told = version(file, BY_NAME["nginx"])
    file.write_text("#!/bin/sh\necho hello\n")

    assert (told, version(file, BY_NAME["nginx"])) == ("1.31.3", "unknown")


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("#!/bin/sh\necho 1.31.3\n", 0o644, "expected a program, found a file that may not be run; make it executable"),
        ("\x7fELF of another machine", 0o755, "found that it cannot be started (Exec format error)"),
        ("#!/bin/sh\nread answer\nsleep 3600\n", 0o755, "-v` after 1 s; see why it hangs, or take it out"),
    ],
)
def test_a_program_that_does_not_run_is_named_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, says: str
) -> None:
    """Neither PATH's is tried in its place, nor does the page get a line of an unknown version."""
    (tmp_path / "nginx").write_text(text)
    (tmp_path / "nginx").chmod(mode)
    monkeypatch.setattr("scripts.compat.programs._TIMEOUT_SECONDS", 1)
    monkeypatch.setattr("scripts.compat.__main__._PAGE", tmp_path / "page.md")
    monkeypatch.setenv("PATH", os.environ["PATH"])
    result = CliRunner().invoke(main, [str(tmp_path)])

    assert result.exit_code == 1
    assert f"{tmp_path}/nginx" in result.output
    assert says in result.output
    assert not (tmp_path / "page.md").exists()


async def test_a_program_that_hangs_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    """What it has started would stay behind, one more after each try."""
    started = tmp_path / "started"
    with pytest.raises(subprocess.TimeoutExpired):
        run(["sh", "-c", f"sleep 3600 & echo $! > {started}; wait"], 5)

    child = Path("/proc", started.read_text().strip(), "stat")
    # What is killed is gone at once, but for a machine that has not got round to it.
    await eventually(lambda: not child.exists() or " Z " in child.read_text(), "it is ended")

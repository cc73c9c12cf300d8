"""The page about compatibility: one line for each thing that was run, version by version."""

from pathlib import Path

from scripts import golden
from scripts.compat.page import Row, page, rows
from scripts.compat.programs import BY_NAME, PROGRAMS, inside, version


def _row(version: str, result: str = "passed", what: str = "demo") -> Row:
    return Row("Prometheus", version, what, "2026-01-02", result)


def test_a_version_that_is_run_again_has_its_newest_result_only() -> None:
    """Lines of other versions stay, the newest first, and what never ran says so."""
    first = page([], [_row("3.9.0"), _row("3.10.0", "failed: no answer")])
    second = page(rows(first), [_row("3.10.0")])

    assert [row for row in rows(second) if row.program == "Prometheus"] == [_row("3.10.0"), _row("3.9.0")]
    assert second.count("| not run |") == len(PROGRAMS) - 1


def test_the_committed_page_is_one_that_the_command_writes() -> None:
    """No result is written by hand."""
    text = (golden.ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")

    assert page(rows(text), []) == text
    assert rows(text)


def test_programs_are_found_by_their_names_and_asked_for_their_version(tmp_path: Path) -> None:
    """Also under the name that Debian gives; what else lies there, or cannot be run, is none."""
    for name, said in {"prometheus-alertmanager": "alertmanager, version 0.35.0 (go1.26)", "other": "1.2"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "nginx").write_text("no program")

    assert inside(tmp_path) == {"alertmanager": "0.35.0"}


def test_a_program_may_answer_on_its_standard_error(tmp_path: Path) -> None:
    """nginx does; and one that tells no number is of an unknown version."""
    file = tmp_path / "nginx"
    file.write_text("#!/bin/sh\necho nginx/1.31.3 >&2\n")
    file.chmod(0o755)
    told = version(file, BY_NAME["nginx"])
    file.write_text("#!/bin/sh\necho hello\n")

    assert (told, version(file, BY_NAME["nginx"])) == ("1.31.3", "unknown")

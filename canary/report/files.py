"""A report as files: HTML, Markdown and JSON next to one another, each whole or not there."""

from collections.abc import Callable, Sequence
from pathlib import Path

from canary import files
from canary.errors import JournalError
from canary.report.data import json_report
from canary.report.facts import Report
from canary.report.html import html_report
from canary.report.markdown import markdown_report

WRITERS: dict[str, Callable[[Report], str]] = {"html": html_report, "markdown": markdown_report, "json": json_report}
"""What makes the text of each format."""

_MOST_BYTES = 64 * 1024**2
"""A report with its plots has some hundred thousand."""
_SUFFIXES = {"html": "html", "markdown": "md", "json": "json"}


def paths(folder: Path, rollout: str, formats: Sequence[str] = tuple(WRITERS)) -> list[Path]:
    """The files of one rollout's report."""
    return [folder / f"{rollout}.{_SUFFIXES[name]}" for name in formats]


def html(folder: Path, rollout: str) -> str:
    """The page of one rollout's report, as it was written.

    Raises:
        OSError: there is none, or what is there is no file of ours.
        ValueError: it is no text.
    """
    [path] = paths(folder, rollout, ("html",))
    return files.read_own(path, _MOST_BYTES).decode()


def write(report: Report, folder: Path, formats: Sequence[str] = tuple(WRITERS)) -> list[Path]:
    """Write a report into a folder; gives the files.

    Raises:
        JournalError: the folder cannot be written to.
    """
    written = paths(folder, report.rollout.id, formats)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in zip(formats, written, strict=True):
            files.replace(path, WRITERS[name](report).encode())
    except OSError as error:
        raise JournalError(f"{folder} cannot be written to ({error.strerror})", place="state.reports") from error
    return written

"""Writes the man page: `scripts/reference/canary.1.in`, with the commands and their options put in from the code."""

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from scripts.reference.commands import tree

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "deploy" / "man" / "canary.1"


def man_page() -> str:
    """The page as man(7) has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    template = (ROOT / "scripts" / "reference" / "canary.1.in").read_text(encoding="utf-8")
    made = "\n".join(line for context in tree() for line in _section(context))
    return template.replace("@VERSION@", project["version"]).replace("@COMMANDS@", made)


def _section(context: click.Context) -> Iterator[str]:
    """One command: its synopsis, what it does, its options."""
    command = context.command
    if context.parent is None or (isinstance(command, click.Group) and not command.invoke_without_command):
        return
    yield f'.SS "{context.command_path} {" ".join(command.collect_usage_pieces(context))}"'
    for number, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
        yield from ([".PP"] if number else [])
        yield _text(paragraph)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):  # hidden ones have none
            names, meaning = record
            yield ".TP"
            typed = re.sub(r"(?<!\S)-[-\w.]*\w", lambda name: f"\\fB{_dashes(name[0])}\\fR", _escaped(names))
            yield typed.replace("|", "|\\:")  # where a long list may be broken
            yield _text(meaning)


def _text(paragraph: str) -> str:
    """Prose on one line; code and options are set as they are typed."""
    pieces = re.split(r"`([^`]+)`", _escaped(" ".join(paragraph.split())))
    for number, piece in enumerate(pieces):
        if number % 2:
            pieces[number] = f"\\fB{_dashes(piece)}\\fR"
        else:
            pieces[number] = re.sub(r"(?<![\w-])--?[a-z][\w.-]*", lambda name: _dashes(name[0]), piece)
    line = "".join(pieces)
    # A dot or an apostrophe at the beginning would be a request to roff.
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e")


def _dashes(text: str) -> str:
    """Typed hyphens, which can be copied from the page; roff's own are for hyphenation."""
    return text.replace("-", "\\-")

"""How commands print: tables for people, JSON for programs."""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

# Wide enough for every table of ours with a long reason; rich pads nothing, so that width costs nothing.
_UNFOLDED = 240

_WHOLE = ("KPI", "rollout", "the shop")
"""Titles of columns of names, which are never cut or broken."""
_LEFT = (*_WHOLE, "phase", "action", "verdict")
"""Titles of columns of words; those of others hold numbers."""


def plain(text: object) -> str:
    """A text for the terminal, with everything that would steer it written out.

    What alerts and people say is shown to operators. Escape sequences in it could repaint what stands on the screen,
    and characters that turn the direction of writing could make a sentence read as another one.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in str(text)
    )


def table_console() -> Console:
    """As wide as the terminal; read by a program, lines are not folded."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNFOLDED)


def study_table(*titles: str) -> Table:
    """A table by KPI that fits 80 columns: titles take several lines before anything is cut, names never do."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in titles:
        table.add_column(title, justify="left" if title in _LEFT else "right", no_wrap=title in _WHOLE, overflow="fold")
    return table


def print_json(data: Any) -> None:
    """What `--format json` prints: one document."""
    click.echo(json.dumps(data, indent=2))

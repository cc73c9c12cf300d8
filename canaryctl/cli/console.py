"""How commands print: tables for people, JSON for programs."""

import json
import sys
from typing import Any

import click
from rich.console import Console

# Wide enough for every table of ours with a long reason; rich pads nothing, so that width costs nothing.
_UNFOLDED = 240


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


def print_json(data: Any) -> None:
    """What `--format json` prints: one document."""
    click.echo(json.dumps(data, indent=2))

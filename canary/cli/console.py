"""How commands print: tables for people, JSON for programs."""

import json
import sys
from typing import Any

import click
from rich.console import Console

_UNFOLDED = 240


def table_console() -> Console:
    """As wide as the terminal; read by a program, lines are not folded."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNFOLDED)


def print_json(data: Any) -> None:
    """What `--format json` prints: one document."""
    click.echo(json.dumps(data, indent=2))

"""Where commands print tables."""

import sys

from rich.console import Console

_UNFOLDED = 240


def table_console() -> Console:
    """As wide as the terminal; read by a program, lines are not folded."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNFOLDED)

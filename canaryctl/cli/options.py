"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click

config_file = click.option(
    "--config.file",
    "config_file",
    default="canary.yaml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The policy.",
)


def format_option(*former: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--format text|json`; *former* are values that earlier versions took, which old scripts may go on giving."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["text", "json", *former]),
        metavar="[text|json]",
        default="text",
        show_default=True,
        help="How to print.",
    )


output_format = format_option()

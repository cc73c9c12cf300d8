"""Options that several commands share."""

import click

config_file = click.option(
    "--config.file",
    "config_file",
    default="canary.yaml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The policy.",
)

output_format = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)

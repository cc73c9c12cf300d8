"""`canary hold`: freeze the canary's share."""

import click

from canaryctl.cli import sending
from canaryctl.cli.options import config_file, output_format


@click.command("hold")
@config_file
@output_format
@sending.reason
def command(config_file: str, output_format: str, reason: str) -> None:
    """Freeze the canary's share until `canary resume`; a rollback stays possible. Cancels a countdown."""
    sending.send(config_file, output_format, "hold", reason=reason)

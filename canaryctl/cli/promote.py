"""`canary promote`: give the canary all traffic."""

import click

from canaryctl.cli import sending
from canaryctl.cli.options import config_file, output_format


@click.command("promote")
@config_file
@output_format
@sending.reason
@sending.force
def command(config_file: str, output_format: str, reason: str, force: bool) -> None:
    """Give the canary all customers and end the rollout, whatever phase it is in."""
    sending.send(config_file, output_format, "promote", reason=reason, force=force)

"""`canary advance`: go to the next phase."""

import click

from canaryctl.cli import sending
from canaryctl.cli.options import config_file, output_format


@click.command("advance")
@config_file
@output_format
@sending.reason
@sending.force
def command(config_file: str, output_format: str, reason: str, force: bool) -> None:
    """Go to the next phase now, unless Prometheus shows an alert that asks for a rollback or a hold."""
    sending.send(config_file, output_format, "advance", reason=reason, force=force)

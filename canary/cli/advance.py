"""`canary advance`: go to the next phase."""

import click

from canary.cli import orders
from canary.cli.options import config_file


@click.command("advance")
@config_file
@orders.reason
@orders.force
def command(config_file: str, reason: str, force: bool) -> None:
    """Go to the next phase now, unless Prometheus shows an alert that asks for a rollback or a hold."""
    orders.give(config_file, "advance", reason=reason, force=force)

"""`canary rollback`: take all customers off the canary."""

import click

from canaryctl.cli import sending
from canaryctl.cli.options import config_file, output_format


@click.command("rollback")
@config_file
@output_format
@click.option("--reason", required=True, help="Why; people will read it in the journal and in the team's message.")
@click.option("--give-up", is_flag=True, help="End a rollback that cannot be completed; you have done it by hand.")
def command(config_file: str, output_format: str, reason: str, give_up: bool) -> None:
    """Take all customers off the canary, then stop its process and tell the team."""
    sending.send(config_file, output_format, "rollback", reason=reason, give_up=give_up)

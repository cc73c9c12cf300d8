"""`canary start`: begin a rollout."""

import click

from canary.cli import orders
from canary.cli.options import config_file


@click.command("start")
@config_file
@click.option("--canary", required=True, help="The new version.")
@click.option("--stable", required=True, help="The version that serves now.")
@orders.reason
@click.option("--force", is_flag=True, help="Begin although a router has faults that would hinder a rollback.")
def command(config_file: str, canary: str, stable: str, reason: str, force: bool) -> None:
    """Begin a rollout: start the canary's process and give it the first phase's share of the customers."""
    orders.give(config_file, "start", canary=canary, stable=stable, reason=reason, force=force)

"""`canary resume`: let a held rollout go on."""

import click

from canaryctl.cli import sending
from canaryctl.cli.options import config_file, output_format


@click.command("resume")
@config_file
@output_format
@sending.reason
def command(config_file: str, output_format: str, reason: str) -> None:
    """Let a held rollout go on, and cancel a countdown; the phase's time has gone on meanwhile."""
    sending.send(config_file, output_format, "resume", reason=reason)

"""`canary receiver`: the webhook receiver that carries out rollbacks, advances and holds."""

import asyncio
from pathlib import Path

import click

from canary.web.options import WebOptions, web_options
from canaryctl.cli.options import config_file


@click.command("receiver")
@config_file
@web_options("127.0.0.1:9878")
def command(config_file: str, web_options: WebOptions) -> None:
    """Serve Alertmanager's webhook and the rollout's API, and keep the routers at what the journal says."""
    from alertmanager.receiver.service import serve

    asyncio.run(serve(Path(config_file), web_options))

"""`canary exporter`: serve the shop's KPIs and the judgement of the running rollout."""

import asyncio
import sys

import click

from canary.web.options import WebOptions, web_options
from canaryctl.cli.options import config_file


@click.command("exporter")
@config_file
@click.option(
    "--state.file",
    "state_file",
    default="exporter-state.json",
    show_default=True,
    help="File in which counters survive a restart; relative paths start at the policy's folder.",
)
@web_options("127.0.0.1:9877")
def command(config_file: str, state_file: str, web_options: WebOptions) -> None:
    """Serve the shop's KPIs and the judgement of the running rollout on /metrics.

    Reads the order database in the background; a scrape never touches it.
    """
    from canary.policy.load import load_policy  # rooms are imported when they are needed
    from exporter.service import Exporter  # as above

    async def serve() -> None:
        await Exporter(lambda: load_policy(config_file), web_options, state_file).run()

    # A scrape waits for a thread that joins and judges no longer than this; Python's own 5 ms would show.
    sys.setswitchinterval(0.001)
    asyncio.run(serve())
